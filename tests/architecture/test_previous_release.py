"""The previous release's own tests, run on a database that the present code has migrated (H1)."""

import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.architecture.migration_rules import PREVIOUS, ROOT
from tests.architecture.test_migrations import migrate, scratch_database

# What customers would notice first: decisions, calls, holds, webhooks, purchases, pages.
SMOKE = (
    "tests/journeys/test_main_job.py",
    "tests/journeys/test_satellite.py",
    "tests/quotas/test_consume.py",
    "tests/quotas/test_http.py",
    "tests/quotas/test_holds_and_levels.py",
    "tests/quotas/test_usage_page.py",
    "tests/billing/test_webhook_door.py",
    "tests/billing/test_webhook_thread.py",
    "tests/billing/test_pages_billing.py",
)
# The database is there and stays as it was migrated: nothing of the former code migrates it.
CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def django_db_setup():
    yield
"""


def git(*arguments: str) -> bytes:
    program = shutil.which("git")
    if program is None:
        pytest.skip("no git here to read the previous release with")
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no history of the previous release here: {done.stderr.decode().strip()}")
    return done.stdout


def test_the_previous_release_has_the_migrations_that_it_is_said_to_end_with():
    files = git("ls-tree", "-r", "--name-only", PREVIOUS["commit"]).decode().split("\n")

    said = {f"{app}/migrations/{name}.py" for app, name in PREVIOUS["migrations"].items()}

    newest = {
        max(path for path in files if path.startswith(f"{app}/migrations/0"))
        for app in PREVIOUS["migrations"]
    }
    assert said == newest


@pytest.mark.verify
@pytest.mark.django_db
def test_the_previous_releases_code_works_on_the_new_tables(tmp_path, report):
    with tarfile.open(fileobj=BytesIO(git("archive", PREVIOUS["commit"]))) as packed:
        packed.extractall(tmp_path, filter="data")
    (tmp_path / "conftest.py").write_text(CONFTEST)

    with scratch_database() as url:
        migrate(url, DJSTRIPE_SHIM="1")
        in_the_former_tree(tmp_path, url, "manage.py", "messages", "--compile")
        said = in_the_former_tree(tmp_path, url, "-m", "pytest", "-q", "-m", "not verify", *SMOKE)

    report(f"the previous release on the new tables: {said.strip().splitlines()[-1]}")


def in_the_former_tree(tree: Path, database: str, *command: str) -> str:
    redis = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path="/14"))
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=os.environ
        | {
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "LEDGERLINE_VAR": str(tree / "var"),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "BROWSER": "none",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout
