"""Start-up checks of what `orgs` depends on."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def login_throttle_lives_in_postgresql(
    app_configs: Sequence[AppConfig] | None, **_kwargs: Any
) -> list[CheckMessage]:
    """A throttle in a cache would be reset by flushing that cache (E20)."""
    handler = getattr(settings, "AXES_HANDLER", "axes.handlers.database.AxesDatabaseHandler")
    if handler == "axes.handlers.database.AxesDatabaseHandler":
        return []
    return [Error("AXES_HANDLER must be the database handler.", id="orgs.E001")]


@register()
def other_throttles_live_in_postgresql(
    app_configs: Sequence[AppConfig] | None, **_kwargs: Any
) -> list[CheckMessage]:
    """Those of resets, codes and sign-ups are django-allauth's, which counts in the cache (E20)."""
    backend = settings.CACHES["default"]["BACKEND"]
    if backend == "django.core.cache.backends.db.DatabaseCache":
        return []
    return [Error("The default cache must be the database's.", id="orgs.E002")]
