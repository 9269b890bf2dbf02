"""Sends what waits: one endpoint at a time and one notice at a time to each, for three days."""

import random
import time
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import UUID

import orjson
import structlog
from cryptography.fernet import InvalidToken
from django.db import transaction
from django.utils import timezone

from billing.redaction import redact
from quotas.models import NoticeDelivery, NoticeEndpoint
from quotas.notices import addresses, endpoints, post, signing
from quotas.notices.addresses import AddressRefused
from quotas.notices.post import Answer, NoAnswer

logger = structlog.get_logger(__name__)

# Standard Webhooks' own table: ten tries within a little more than three days.
SCHEDULE: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
GONE: Final = 410
_GIVE_UP: Final = timedelta(days=3)
_LONGEST_PAUSE: Final = timedelta(minutes=10)
_LONGEST_WAIT: Final = timedelta(days=1)  # that a Retry-After may ask for
_LEASE: Final = timedelta(seconds=60)  # more than one try can take
_RUN_SECONDS: Final = 40.0


def due(limit: int = 500) -> list[int]:
    """Endpoints with something to send that nobody sends to and that do not rest."""
    found = NoticeEndpoint.objects.with_something_due(timezone.now()).order_by("pk")
    return list(found.values_list("pk", flat=True)[:limit])


def deliver(endpoint_id: int, seconds: float = _RUN_SECONDS) -> int:
    """Everything due to this endpoint, oldest first, until one fails. Returns how many arrived."""
    ends, sent = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        endpoint = _lease(endpoint_id)
        if endpoint is None:
            return sent
        try:
            delivery = _next(endpoint)
            if delivery is None or not attempt(delivery):
                return sent
            sent += 1
        finally:
            _give_back(endpoint)
    return sent


def attempt(delivery: NoticeDelivery) -> bool:
    """One try, whatever its outcome, with what follows from it."""
    endpoint = delivery.endpoint
    try:
        answer = _post(endpoint, delivery)
    except (AddressRefused, NoAnswer, InvalidToken) as error:
        said = str(error) or "The secret cannot be decrypted with this SECRET_KEY."
        _failed(endpoint, delivery, None, said)
        return False
    if answer.is_success:
        _arrived(endpoint, delivery, answer)
        return True
    if answer.status == GONE:
        delivery.attempts, delivery.last_status = delivery.attempts + 1, GONE
        delivery.save(update_fields=["attempts", "last_status"])
        endpoints.disable(endpoint, "It answered 410 Gone.")
        return False
    _failed(endpoint, delivery, answer, f"HTTP {answer.status}")
    return False


def _lease(endpoint_id: int) -> NoticeEndpoint | None:
    now = timezone.now()
    mine = NoticeEndpoint.objects.filter(pk=endpoint_id)
    if not mine.with_something_due(now).exists():
        return None
    if not mine.free(now).update(leased_until=now + _LEASE):
        return None
    return NoticeEndpoint.objects.select_related("satellite").get(pk=endpoint_id)


def _give_back(endpoint: NoticeEndpoint) -> None:
    """Not a lease that somebody else took after ours had ended."""
    ours = NoticeEndpoint.objects.filter(pk=endpoint.pk, leased_until=endpoint.leased_until)
    ours.update(leased_until=None)


def _next(endpoint: NoticeEndpoint) -> NoticeDelivery | None:
    waiting = NoticeDelivery.objects.due(timezone.now()).filter(endpoint=endpoint)
    found: NoticeDelivery | None = waiting.order_by("created_at", "sequence").first()
    if found is not None:
        found.endpoint = endpoint
    return found


def _post(endpoint: NoticeEndpoint, delivery: NoticeDelivery) -> Answer:
    body = orjson.dumps(delivery.payload)
    now = timezone.now()
    secrets = endpoints.secrets(endpoint, now)
    headers = signing.headers(delivery.webhook_id, now, body, secrets)
    return post.post(addresses.resolve(endpoint.url), headers, body)


def _arrived(endpoint: NoticeEndpoint, delivery: NoticeDelivery, answer: Answer) -> None:
    delivery.state = NoticeDelivery.State.SENT
    delivery.sent_at = timezone.now()
    delivery.attempts += 1
    delivery.last_status, delivery.last_error = answer.status, ""
    delivery.save(update_fields=["state", "sent_at", "attempts", "last_status", "last_error"])
    if endpoint.failing_since is not None:
        endpoint.failing_since, endpoint.failures, endpoint.paused_until = None, 0, None
        endpoint.save(update_fields=["failing_since", "failures", "paused_until"])


def _failed(
    endpoint: NoticeEndpoint, delivery: NoticeDelivery, answer: Answer | None, said: str
) -> None:
    now = timezone.now()
    wait = _wait(delivery.attempts, answer, now)
    delivery.attempts += 1
    delivery.last_status = None if answer is None else answer.status
    delivery.last_error = redact(said)[:300]
    delivery.next_attempt_at = now + (wait or timedelta(0))
    if wait is None:
        delivery.state = NoticeDelivery.State.FAILED
    delivery.save()
    endpoint.failing_since = endpoint.failing_since or now
    endpoint.failures += 1
    endpoint.paused_until = now + min(
        timedelta(seconds=5) * 2 ** min(endpoint.failures, 10), _LONGEST_PAUSE
    )
    endpoint.save(update_fields=["failing_since", "failures", "paused_until"])
    logger.warning("notices.failed", endpoint=endpoint.pk, delivery=delivery.pk, why=said)
    if wait is None and endpoint.failing_since <= now - _GIVE_UP:
        endpoints.disable(endpoint, "Nothing arrived for three days.")


def _wait(attempts: int, answer: Answer | None, now: datetime) -> timedelta | None:
    """None when all tries are used up. Jitter spreads those that failed together."""
    if attempts >= len(SCHEDULE):
        return None
    planned = SCHEDULE[attempts] * random.uniform(1.0, 1.1)  # noqa: S311  no secret
    return max(planned, min(_asked_for(answer, now), _LONGEST_WAIT))


def _asked_for(answer: Answer | None, now: datetime) -> timedelta:
    """Retry-After, in seconds or as a date; nonsense asks for nothing."""
    text = "" if answer is None else answer.retry_after.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**9))
    try:
        return parsedate_to_datetime(text) - now
    except (ValueError, TypeError):
        return timedelta(0)


@transaction.atomic
def send_again(ids: list[UUID]) -> int:
    """With the same webhook-id: whoever has it already knows it."""
    again = NoticeDelivery.objects.filter(pk__in=ids)
    found = again.exclude(state=NoticeDelivery.State.WAITING).update(
        state=NoticeDelivery.State.WAITING, attempts=0, next_attempt_at=timezone.now()
    )
    endpoints_of = NoticeEndpoint.objects.filter(deliveries__in=again)
    endpoints_of.update(paused_until=None)
    return found
