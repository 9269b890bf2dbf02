"""What the database is made of: our migrations, dj-stripe's real ones, the shim of the tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import ForeignKey

pytestmark = pytest.mark.early

ROOT = Path(__file__).resolve().parents[2]
OURS = ("orgs", "billing", "quotas")
SCRATCH = "ledgerline_real_migrations"
# Inside migrations Django takes the type of a join table's own id from another setting; nothing
# refers to those ids, so their width may differ.
COLUMNS = """
    SELECT table_name, column_name,
           CASE WHEN column_name = 'id' AND data_type = 'integer' THEN 'bigint' ELSE data_type END,
           character_maximum_length, is_nullable
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name LIKE 'djstripe\\_%'
"""


def test_the_models_have_all_their_migrations(db):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_no_migration_of_ours_depends_on_a_named_one_of_dj_stripe():
    """dj-stripe resets its migrations in minor releases."""
    loader = MigrationLoader(None, ignore_no_migrations=True)

    named = [
        (app, name, dependency)
        for (app, name), migration in loader.disk_migrations.items()
        for dependency in [*migration.dependencies, *migration.run_before]
        if app in OURS and dependency[0] == "djstripe"
    ]

    assert named == []


@pytest.mark.django_db
def test_no_table_of_ours_refers_to_a_table_of_dj_stripe():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
            " WHERE contype = 'f' AND confrelid::regclass::text LIKE 'djstripe\\_%'"
            " AND conrelid::regclass::text NOT LIKE 'djstripe\\_%'"
        )
        found = cursor.fetchall()

    assert found == []


@pytest.mark.django_db
def test_every_foreign_key_of_ours_leads_an_index():
    """Else closing an organization, or deleting any row that is referred to, scans the table."""
    leading = leading_columns()

    unindexed = [
        f"{model._meta.db_table}.{field.column}"
        for app in OURS
        for model in apps.get_app_config(app).get_models()
        if model._meta.managed
        for field in model._meta.local_concrete_fields
        if isinstance(field, ForeignKey) and field.column not in leading[model._meta.db_table]
    ]

    assert unindexed == []


def leading_columns() -> dict[str, set[str]]:
    """Per table, the columns that come first in an index over all of its rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
            " WHERE i.indpred IS NULL"
        )
        found: dict[str, set[str]] = {}
        for table, column in cursor.fetchall():
            found.setdefault(table, set()).add(column)
    return found


@pytest.mark.django_db
def test_dj_stripes_real_migrations_make_the_tables_that_the_shim_makes():
    """A minute long, and the only test that runs them: everything else stands on the shim."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        shimmed = set(cursor.fetchall())

    with scratch_database() as url:
        migrate(url)
        with psycopg.connect(url) as real:
            migrated = set(real.execute(COLUMNS).fetchall())

    assert len(migrated) > 100
    assert migrated ^ shimmed == set()


@contextmanager
def scratch_database() -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    name = f"{SCRATCH}{worker}"
    server = os.environ["DATABASE_URL"]
    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def migrate(url: str, **changes: str) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": url,
        "DJSTRIPE_SHIM": "0",
        "STRIPE_SIMULATOR_URL": "",
        **changes,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
