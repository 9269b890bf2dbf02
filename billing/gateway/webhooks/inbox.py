"""The webhook's door: verify first, store one row, answer 200. Nothing slow happens here.

Stripe's page: https://docs.stripe.com/webhooks#acknowledge-events-immediately. dj-stripe's own view
answers 500 to junk and stores it, so ours stands in front (A10-A18, A34).
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from structlog.contextvars import bind_contextvars

from billing.gateway.webhooks import envelope, signature
from billing.gateway.webhooks.envelope import Envelope, Malformed
from billing.gateway.webhooks.handled import HANDLED
from billing.models import InboxEvent
from billing.signals import events_arrived

logger = structlog.get_logger(__name__)

LARGEST_BODY: Final = 1_048_576
_KEPT_HEADERS: Final = ("User-Agent", "Content-Type", "Stripe-Version", "X-Request-Id")
_JUNK_PER_MINUTE: Final = 600
_WATCHED_ADDRESSES: Final = 10_000
_MINUTE: Final = 60.0


class Refused(Exception):
    """The request is not a signed event of ours; nothing is stored."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@csrf_exempt
@require_POST
@transaction.non_atomic_requests
def receive(request: HttpRequest) -> HttpResponse:
    """200 once the event is durably ours, 4xx for junk, 503 while PostgreSQL is away."""
    try:
        found = _verified(request)
    except Refused as refusal:
        return _refuse(request, refusal)
    bind_contextvars(event_id=found.event_id, customer_id=found.customer_id)
    try:
        store(found, _kept(request))
    except DatabaseError:
        logger.exception("stripe.inbox_unavailable", event_id=found.event_id)
        response = JsonResponse({"code": "unavailable"}, status=503)
        response["Retry-After"] = "10"
        return response
    return JsonResponse({"received": True})


def _verified(request: HttpRequest) -> Envelope:
    body = _body(request)
    header = request.headers.get("Stripe-Signature", "")
    if not settings.STRIPE_WEBHOOK_SECRETS:
        raise Refused(400, "webhook_not_configured")
    if not signature.is_valid(body, header, settings.STRIPE_WEBHOOK_SECRETS):
        raise Refused(400, "bad_signature")
    try:
        found = envelope.read(json.loads(body))
    except (Malformed, ValueError, RecursionError) as error:
        raise Refused(400, "malformed_event") from error
    if found.account and found.account != settings.STRIPE_ACCOUNT_ID:
        raise Refused(400, "foreign_account")
    return found


def _body(request: HttpRequest) -> bytes:
    """At most 1 MiB, measured before it is read (A13)."""
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        raise Refused(400, "bad_length") from None
    if length > LARGEST_BODY:
        raise Refused(413, "too_large")
    body = request.read(LARGEST_BODY + 1)
    if len(body) > LARGEST_BODY:
        raise Refused(413, "too_large")
    return body


def _refuse(request: HttpRequest, refusal: Refused) -> HttpResponse:
    address = str(request.META.get("REMOTE_ADDR", ""))
    if _junk.is_flood(address):
        return JsonResponse({"code": "too_many"}, status=429, headers={"Retry-After": "60"})
    logger.warning("stripe.webhook_refused", code=refusal.code)
    return JsonResponse({"code": refusal.code}, status=refusal.status)


def _kept(request: HttpRequest) -> dict[str, str]:
    return {name: request.headers[name][:200] for name in _KEPT_HEADERS if name in request.headers}


def store(found: Envelope, headers: dict[str, str]) -> None:
    """One row per event id, whoever brings it: Stripe, or the reconcile that asked for it."""
    state, note = _triage(found)
    row = InboxEvent(
        event_id=found.event_id,
        type=found.type,
        customer_id=found.customer_id,
        object_id=found.object_id,
        livemode=found.livemode,
        api_version=found.api_version,
        stripe_created_at=found.created_at,
        payload=found.payload,
        headers=headers,
        state=state,
        note=note,
    )
    InboxEvent.objects.bulk_create([row], ignore_conflicts=True)
    if state == InboxEvent.State.WAITING:
        events_arrived.send_robust(InboxEvent, customer_id=found.customer_id)


def _triage(found: Envelope) -> tuple[str, str]:
    if found.had_forbidden_text:
        logger.error("alert.stripe_event_quarantined", event_id=found.event_id)
        return InboxEvent.State.DEAD, "quarantined: text that PostgreSQL cannot store was replaced"
    if found.livemode != settings.STRIPE_LIVE_MODE:
        logger.error("alert.stripe_livemode_mismatch", event_id=found.event_id)
        return InboxEvent.State.IGNORED, "another mode than this installation's"
    if found.type not in HANDLED:
        logger.info("stripe.event_unhandled", type=found.type)
        return InboxEvent.State.IGNORED, "no effect here"
    if found.api_version != settings.STRIPE_API_VERSION:
        # Harmless for us: the object is fetched again with the pinned version (A25).
        logger.warning("stripe.api_version_drift", found=found.api_version or "none")
    return InboxEvent.State.WAITING, ""


class _JunkCounter:
    """Bad posts per address in the last minute. A good signature is never held back by it."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._seen: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def is_flood(self, address: str) -> bool:
        now = self._clock()
        with self._lock:
            if len(self._seen) > _WATCHED_ADDRESSES:
                self._seen.clear()
            times: deque[Any] = self._seen.setdefault(address, deque(maxlen=self._limit + 1))
            times.append(now)
            while times and now - times[0] > _MINUTE:
                times.popleft()
            return len(times) > self._limit


_junk = _JunkCounter(_JUNK_PER_MINUTE)
