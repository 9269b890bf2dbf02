"""What every floor says about this installation, as findings."""

from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.core.checks import run_checks
from django.db import connection

from billing import evidence, findings
from billing.findings import Check, Finding, failed, ok, warning
from billing.models import Evidence
from billing.preflight import doctor
from orgs.models import User
from quotas.engine import counters
from quotas.reading import rollups

_OLDEST_POSTGRESQL: Final = 150_000
_STALE: Final = 300.0
_NAMED: Final = 5


def postgresql() -> Iterator[Finding]:
    """Acknowledged usage must survive a power cut (C31)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::integer,"
            " current_setting('synchronous_commit'), current_setting('fsync'),"
            " current_setting('full_page_writes')"
        )
        version, commits, fsync, pages = cursor.fetchone()
    if version < _OLDEST_POSTGRESQL:
        yield failed("postgresql-version", f"PostgreSQL {version // 10_000} is too old; 15 it is.")
    else:
        yield ok("postgresql-version", f"PostgreSQL {version // 10_000} answers.")
    if commits == "off":
        yield failed("synchronous-commit", "synchronous_commit is off: a crash loses usage.")
    else:
        yield ok("synchronous-commit", f"synchronous_commit is {commits}.")
    if "off" in {fsync, pages}:
        yield failed(
            "durability", f"fsync is {fsync}, full_page_writes {pages}: a power cut loses data."
        )
    else:
        yield ok("durability", "What PostgreSQL has committed is on disk.")


def redis() -> Iterator[Finding]:
    """Readings may be lost; the queue of Celery in the same Redis should not be."""
    found = counters.policy()
    if not found:
        yield warning("redis", "Redis does not answer, or does not show its configuration.")
        return
    evicts = found.get("maxmemory-policy", "")
    if evicts != "noeviction":
        yield failed(
            "redis-eviction", f"maxmemory-policy is {evicts}: queued tasks may vanish.",
            "Set maxmemory-policy noeviction.",
        )  # fmt: skip
    else:
        yield ok("redis-eviction", "Redis evicts nothing.")
    if found.get("appendonly") != "yes":
        yield warning(
            "redis-append-only",
            "Redis keeps no append-only file: a restart forgets queued tasks until a sweep.",
        )
    else:
        yield ok("redis-append-only", "Redis keeps an append-only file.")


def usage_sums() -> Finding:
    name, stale = "usage-sums", rollups.staleness_seconds()
    if stale > _STALE:
        return failed(name, f"Charts of usage lag {stale:.0f} s behind the ledger.")
    return ok(name, "Charts of usage follow the ledger.")


def settings_of_production() -> Iterator[Finding]:
    """Django's deployment checks and our own."""
    name = "settings"
    if settings.DEBUG:
        yield warning(name, "DEBUG is on: this is no installation for customers.")
        return
    found = [one for one in run_checks(include_deployment_checks=True) if not one.is_silenced()]
    for one in found[:_NAMED]:
        kind = failed if one.is_serious() else warning
        yield kind(name, f"{one.id}: {one.msg}", str(one.hint or ""))
    if len(found) > _NAMED:
        yield warning(name, f"and {len(found) - _NAMED} more: run `manage.py check --deploy`.")
    if not found:
        yield ok(name, "Django's deployment checks pass.")
    yield from _unsafe_settings()


def _unsafe_settings() -> Iterator[Finding]:
    if "*" in settings.ALLOWED_HOSTS:
        yield failed("allowed-hosts", "ALLOWED_HOSTS accepts any host (E23).")
    if not settings.ADMIN_REQUIRES_MFA:
        yield failed("admin-mfa", "Staff enter the admin without a second factor (E12).")
    if settings.EMAIL_BACKEND.endswith(("console.EmailBackend", "dummy.EmailBackend")):
        yield failed("mail", "Mail goes nowhere: EMAIL_URL is not set.")


def staff() -> Finding:
    name = "staff"
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        return warning(name, "There is no system admin.", "Run `manage.py createsuperuser`.")
    return ok(name, "There is a system admin.")


def smoke_run() -> Finding:
    name, last = "smoke", evidence.latest(Evidence.Kind.SMOKE)
    mode = "live" if settings.STRIPE_LIVE_MODE else "test"
    if last is None:
        return warning(name, f"No {mode} smoke run is on file.", "Run `manage.py smoke`.")
    if not last.passed:
        return failed(name, f"The last {mode} smoke run failed: {last.summary}")
    return ok(name, f"The {mode} smoke run of {last.created_at:%Y-%m-%d} passed.")


CHECKS: Final[tuple[Check, ...]] = (
    *doctor.CHECKS,
    postgresql,
    redis,
    usage_sums,
    settings_of_production,
    staff,
    smoke_run,
)


def examine() -> list[Finding]:
    return list(findings.run(CHECKS))


def keep(found: list[Finding], *, author: User | None = None) -> Evidence:
    return evidence.store(
        Evidence.Kind.DOCTOR,
        passed=findings.passed(found),
        summary=findings.summary(found),
        report={"findings": [each.as_json() for each in found]},
        author=author,
    )
