"""`/healthz`: this process answers. `/readyz`: it can do its work, part by part (H5)."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from billing.insight import pulse
from billing.models import OutboxMessage
from quotas.engine import counters

INBOX_TOO_OLD = timedelta(minutes=5)
OUTBOX_TOO_OLD = timedelta(minutes=5)
BEAT_TOO_OLD = timedelta(minutes=3)


class ProbeMiddleware:
    """Probes come from inside, by address and without TLS: no name of a host is asked of them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = _PROBES.get(request.path_info)
        if view is None:
            return self._get_response(request)
        response = view(request)
        response["X-Request-Id"] = uuid4().hex  # as on every answer; probes stand before the log
        return response


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """PostgreSQL (a write), the inbox's age and beat's age decide.

    Redis away, or mail and notices that wait, are only degraded: pages and decisions go on.
    """
    parts = {"postgresql": _postgresql()}
    if parts["postgresql"] == "ok":
        parts |= {"inbox": _inbox(), "beat": _beat()}
    ready = all(state in {"ok", "starting"} for state in parts.values())
    if parts["postgresql"] == "ok":
        parts["outbox"] = _outbox()
    parts["redis"] = "ok" if counters.is_alive() else "degraded"
    whole = all(state in {"ok", "starting"} for state in parts.values())
    status = "unready" if not ready else "ok" if whole else "degraded"
    return JsonResponse({"status": status, "parts": parts}, status=200 if ready else 503)


def _postgresql() -> str:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE IF NOT EXISTS readiness (at timestamptz)")
            cursor.execute("INSERT INTO readiness VALUES (clock_timestamp())")
            transaction.set_rollback(True)
    except DatabaseError:
        return "down"
    return "ok"


def _inbox() -> str:
    oldest = pulse.oldest_unprocessed_event()
    late = oldest is not None and timezone.now() - oldest > INBOX_TOO_OLD
    return "stuck" if late else "ok"


def _outbox() -> str:
    """Overdue: what a receiver refused is due again later, and waits for nobody here."""
    late = OutboxMessage.objects.due(timezone.now() - OUTBOX_TOO_OLD).exists()
    return "late" if late else "ok"


def _beat() -> str:
    last = pulse.last_beat()
    if last is None:
        return "starting"
    return "ok" if timezone.now() - last < BEAT_TOO_OLD else "silent"


_PROBES: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "/healthz": healthz,
    "/readyz": readyz,
}
