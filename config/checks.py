"""Settings that must never reach customers. `manage.py`, the worker and the web refuse to start."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register, run_checks
from django.core.checks import Warning as Advice
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

Apps = Sequence[AppConfig] | None


def refuse_errors() -> None:
    """For processes that Django itself does not check. Raises ImproperlyConfigured."""
    errors = [str(message) for message in run_checks() if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(errors))


@register(Tags.security)
def the_simulator_is_for_development(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    """Whoever answers at that URL decides what is paid."""
    if not settings.STRIPE_SIMULATOR_URL or settings.STRIPE_SIMULATOR_ALLOWED:
        return []
    return [Error("STRIPE_SIMULATOR_URL is set while DEBUG is off.", id="config.E001")]


@register(Tags.security)
def live_money_needs_a_webhook_secret(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    """Without it every event of Stripe's would be refused, and payments would have no effect."""
    if not settings.STRIPE_LIVE_MODE or settings.STRIPE_WEBHOOK_SECRETS:
        return []
    return [Error("STRIPE_WEBHOOK_SECRET is empty while the Stripe key is live.", id="config.E002")]


@register(Tags.security)
def live_money_needs_debug_off(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    """Error pages of DEBUG show settings, and dj-stripe lets a caller pick the secret (A12)."""
    if settings.STRIPE_LIVE_MODE and settings.DEBUG:
        return [Error("DEBUG is on while the Stripe key is live.", id="config.E003")]
    return []


@register(Tags.security, deploy=True)
def links_are_secret_on_the_way(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    """Mails carry invitation and reset links that start with SITE_URL."""
    if settings.SITE_URL.startswith("https://"):
        return []
    return [Advice("SITE_URL should start with https://.", id="config.W001")]


@register(Tags.database)
def commits_are_durable(
    app_configs: Apps, databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """`synchronous_commit = off` loses acknowledged usage in a crash (C31)."""
    return [
        Error(f"Database {alias} runs with synchronous_commit = off.", id="config.E004")
        for alias in databases or ()
        if _synchronous_commit(alias) == "off"
    ]


def _synchronous_commit(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        (value,) = cursor.fetchone()
    return str(value)
