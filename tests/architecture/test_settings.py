"""Unsafe production settings do not boot, and everybody speaks one version of Stripe's API."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import djstripe.settings
import pytest
import stripe
from django.conf import settings
from django.core import checks
from django.db import connection

from billing.gateway import stripe_api
from billing.gateway.webhooks import signature

ROOT = Path(__file__).resolve().parents[2]
# As a production host sets them. No server answers at these URLs: nothing here connects.
PRODUCTION = {
    "PATH": os.environ["PATH"],
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "DEBUG": "0",
    "SECRET_KEY": "kNV7rJ4mU0xZq2bTfYw9LhCe5AsDgPiO8uXyRvMtBnQlEjKw-example",
    "ALLOWED_HOSTS": "billing.example.com",
    "SITE_URL": "https://billing.example.com",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "STRIPE_SECRET_KEY": "sk_live_" + "a" * 24,
    "STRIPE_WEBHOOK_SECRET": "whsec_example",
    "STRIPE_SIMULATOR_URL": "",
    "DJSTRIPE_SHIM": "0",
    "EMAIL_URL": "smtp://localhost:25",
    "LOG_LEVEL": "ERROR",
}


def run(
    *command: str, cwd: Path = ROOT, leave_out: str = "", **changes: str
) -> subprocess.CompletedProcess[str]:
    environment = PRODUCTION | changes
    environment.pop(leave_out, None)
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def found_by(*tags: str, **options: Any) -> set[str]:
    return {message.id for message in checks.run_checks(tags=list(tags), **options) if message.id}


def test_production_settings_pass_every_deployment_check():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_a_host_without_a_secret_key_does_not_boot(tmp_path):
    for package in ("config", "billing"):  # away from a developer's .env
        shutil.copytree(ROOT / package, tmp_path / package)

    with_key = run("-c", "import config.settings", cwd=tmp_path)
    without = run("-c", "import config.settings", cwd=tmp_path, leave_out="SECRET_KEY")
    empty = run("-c", "import config.settings", SECRET_KEY="")

    assert with_key.returncode == 0, with_key.stderr
    assert without.returncode != 0
    assert "Set the SECRET_KEY environment variable" in without.stderr
    assert empty.returncode != 0
    assert "SECRET_KEY must not be empty" in empty.stderr


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"STRIPE_SIMULATOR_URL": "http://127.0.0.1:8001"}, "config.E001"),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "config.E002"),
        ({"DATABASE_URL": ""}, "DATABASE_URL and REDIS_URL must be set"),
        ({"REDIS_URL": ""}, "DATABASE_URL and REDIS_URL must be set"),
        ({"REDIS_URL": "redis+cluster://127.0.0.1:1"}, "CELERY_BROKER_URL must be one Redis"),
    ],
)
def test_the_web_does_not_start_with_unsafe_production_settings(changes, complaint):
    done = run("-c", "import config.wsgi", **changes)

    assert done.returncode != 0
    assert complaint in done.stderr


def test_the_web_starts_with_safe_production_settings():
    done = run("-c", "import config.wsgi")

    assert done.returncode == 0, done.stderr


def test_the_embedded_servers_refuse_to_run_while_debug_is_off():
    done = run("-c", "from config import embedded; embedded.ensure_running()")

    assert done.returncode != 0
    assert "DEBUG is off" in done.stderr


def test_a_simulator_is_refused_unless_development_or_tests_allow_it(settings):
    assert "config.E001" not in found_by("security")

    settings.STRIPE_SIMULATOR_ALLOWED = False

    assert "config.E001" in found_by("security")


@pytest.mark.parametrize("secrets", [[], ["whsec_one"], ["whsec_old", "whsec_new"]])
def test_live_mode_needs_a_webhook_secret(settings, secrets):
    settings.STRIPE_LIVE_MODE = True
    settings.STRIPE_WEBHOOK_SECRETS = secrets

    assert ("config.E002" in found_by("security")) == (not secrets)


def test_live_mode_needs_debug_off(settings):
    settings.STRIPE_LIVE_MODE = settings.DEBUG = True

    assert "config.E003" in found_by("security")


def test_a_site_that_is_not_https_is_reported_at_deployment(settings):
    settings.SITE_URL = "http://billing.example.com"

    assert "config.W001" in found_by("security", include_deployment_checks=True)
    assert "config.W001" not in found_by("security")


@pytest.mark.django_db
@pytest.mark.parametrize(("setting", "refused"), [("on", False), ("off", True)])
def test_a_database_that_may_lose_commits_is_refused(setting, refused):
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL synchronous_commit = {setting}")

    assert ("config.E004" in found_by("database", databases=["default"])) == refused


def test_settings_sdk_mirror_and_client_speak_one_version_of_stripes_api():
    client = stripe_api.client()

    assert stripe.api_version == settings.STRIPE_API_VERSION
    assert djstripe.settings.djstripe_settings.STRIPE_API_VERSION == settings.STRIPE_API_VERSION
    assert client._requestor._options.stripe_version == settings.STRIPE_API_VERSION


def test_the_age_of_a_webhooks_signature_is_limited():
    assert 0 < signature.TOLERANCE_SECONDS <= 300
