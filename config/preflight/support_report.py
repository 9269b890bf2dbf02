"""Bounded diagnostics for support: counts, versions, states and findings.

No names, addresses, slugs, ids of customers, payloads, prompts or secrets: what is not on the list
below does not leave. Every text that comes from outside is cut and redacted.
"""

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import django
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count
from django.utils import timezone

from billing import catalog
from billing.catalog import loading
from billing.findings import Finding
from billing.insight import pulse
from billing.models import (
    CheckoutIntent,
    EffectivePlan,
    Evidence,
    InboxEvent,
    Invoice,
    OutboxMessage,
    Pulse,
    Subscription,
)
from billing.redaction import redact
from config.preflight import doctor
from orgs.models import Organization, User
from quotas.models import EnforcementSwitch, Satellite, UsageLimit

_MOST: Final = 20  # rows of any list
_LONGEST: Final = 200  # characters of any text
_PACKAGES: Final = ("stripe", "dj-stripe", "djangorestframework", "celery", "psycopg", "redis")
# Which of these are set is told, never what they say.
_SETTINGS: Final = (
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS", "STRIPE_ACCOUNT_ID", "SITE_URL",
    "CSRF_TRUSTED_ORIGINS", "SUPPORT_EMAIL",
)  # fmt: skip
_FLAGS: Final = (
    "DEBUG", "STRIPE_LIVE_MODE", "STRIPE_API_VERSION", "STRIPE_AUTOMATIC_TAX",
    "STRIPE_TEST_CLOCKS", "ADMIN_REQUIRES_MFA", "SIGNUP_OPEN", "TRUSTED_PROXIES",
    "USAGE_RETENTION_MONTHS",
)  # fmt: skip
_PERSONAL: Final = (
    (re.compile(r"[^\s@<>'\"]+@[^\s@<>'\"]+"), "[address]"),
    (re.compile(r"https?://\S+"), "[url]"),
    (re.compile(r"\b(?:cus|sub|in|ch|pi|pm|cs|seti|acct|evt|price|prod)_\w+"), "[stripe id]"),
    (re.compile(r"(?i)\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b"), "[id]"),
    (re.compile(r"(?:/[\w.~-]+){2,}"), "[path]"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "[ip]"),
    # What an error quotes came from outside.
    (re.compile(r"[\"'\u201c\u2018][^\"'\u201d\u2019]*[\"'\u201d\u2019]"), "[text]"),
)


def build(found: list[Finding] | None = None) -> dict[str, Any]:
    """A few kilobytes of JSON, however large the installation is."""
    return {
        "made_at": timezone.now().isoformat(timespec="seconds"),
        "versions": _versions(),
        "settings": _settings(),
        "catalogue": _catalogue(),
        "counts": _counts(),
        "background": _background(),
        "troubles": _troubles(),
        "migrations": _migrations(),
        "findings": [_finding(each) for each in (found or doctor.examine())],
    }


def clean(text: str) -> str:
    """Cut, and without what names a person, a customer, a place or a secret."""
    text = redact(text)
    for pattern, instead in _PERSONAL:
        text = pattern.sub(instead, text)
    return text[:_LONGEST]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "django": django.get_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        found["postgresql"] = str(cursor.fetchone()[0]).split(" ")[0]
    return found


def _settings() -> dict[str, Any]:
    flags = {name: getattr(settings, name) for name in _FLAGS}
    return flags | {name: _is_set(getattr(settings, name)) for name in _SETTINGS}


def _is_set(value: Any) -> str:
    return "set" if value else "not set"


def _catalogue() -> dict[str, Any]:
    current = catalog.current()
    return {
        "key": current.key if current.key in loading.shipped() else "a file of its own",
        "plans": len(current.plans),
        "meters": len(current.meters),
        "enforcement": current.enforcement.default,
    }


def _counts() -> dict[str, Any]:
    return {
        "people": User.objects.count(),
        "organizations": _by(Organization, "kind"),
        "plans_by_source": _by(EffectivePlan, "source"),
        "access": _by(EffectivePlan, "access"),
        "subscriptions": _by(Subscription, "status"),
        "invoices": _by(Invoice, "status"),
        "checkouts": _by(CheckoutIntent, "state"),
        "inbox": _by(InboxEvent, "state"),
        "outbox": _by(OutboxMessage, "state"),
        "limits_by_enforcement": _by(UsageLimit, "enforcement"),
        "enforcement_switches": EnforcementSwitch.objects.standing().count(),
        "satellites": Satellite.objects.count(),
    }


def _by(model: Any, field: str) -> dict[str, int]:
    """Statuses are words of ours or of Stripe's; anything else is not told."""
    rows = model.objects.values_list(field).annotate(n=Count("pk")).order_by("-n")[:_MOST]
    return {clean(str(value)): n for value, n in rows}


def _background() -> dict[str, Any]:
    oldest = pulse.oldest_unprocessed_event()
    beats = Pulse.objects.order_by("name")[:_MOST]
    return {
        "oldest_waiting_event": oldest.isoformat() if oldest else None,
        "pulses": {clean(each.name): each.at.isoformat() for each in beats},
    }


def _troubles() -> dict[str, list[dict[str, Any]]]:
    dead = InboxEvent.objects.dead().order_by("-received_at")[:_MOST]
    unsent = OutboxMessage.objects.exclude(last_error="").order_by("-created_at")[:_MOST]
    evidence = Evidence.objects.exclude(kind=Evidence.Kind.ATTACHED).defer("file").newest_first()
    return {
        "dead_events": [
            {"type": clean(each.type), "attempts": each.attempts, "note": _kind(each.note)}
            for each in dead
        ],
        "unsent": [
            {"kind": clean(each.kind), "state": each.state, "error": _kind(each.last_error)}
            for each in unsent
        ],
        "runs": [
            {"kind": each.kind, "passed": each.passed, "at": each.created_at.isoformat()}
            for each in evidence[:_MOST]
        ],
    }


def _kind(error: str) -> str:
    """Only what kind of error it is: its text may quote anything."""
    kind = error.partition(":")[0]
    return clean(kind) if kind.isidentifier() else "see the admin"


def _migrations() -> dict[str, str]:
    applied = MigrationRecorder(connection).applied_migrations()
    names = sorted(applied)
    own = {config.label for config in apps.get_app_configs()}
    return {app: name for app, name in names if app in own}


def _finding(found: Finding) -> dict[str, str]:
    return {"name": found.name, "outcome": found.outcome, "said": clean(found.said)}
