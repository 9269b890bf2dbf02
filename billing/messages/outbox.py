"""Puts messages into the outbox with the act that causes them, and sends them after the commit.

At-least-once only in the face of a crash between send and mark; `once_per` makes it once otherwise.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.utils import timezone

from billing.models import OutboxMessage
from billing.redaction import redact
from orgs.models import Organization

logger = structlog.get_logger(__name__)

MAX_ATTEMPTS: Final = 12
_LONGEST_DELAY: Final = timedelta(hours=6)


class NoLongerTrue(Exception):
    """What a message says has passed before it left: it is dropped, and nothing is sent."""


Sender = Callable[[OutboxMessage], None]
_senders: dict[str, Sender] = {}
_preparations: dict[str, Sender] = {}


def sender(kind: str) -> Callable[[Sender], Sender]:
    """Registers what delivers a kind of message; the kind's part before the dot is enough."""

    def register(function: Sender) -> Sender:
        _senders[kind] = function
        return function

    return register


def preparation(kind: str) -> Callable[[Sender], Sender]:
    """Registers what comes before the sending of a kind, outside of its transaction.

    It may wait for others, who then do not wait for the receiver too; what it raises is a retry.
    """

    def register(function: Sender) -> Sender:
        _preparations[kind] = function
        return function

    return register


def put(
    organization: Organization | None,
    kind: str,
    *,
    once_per: str,
    payload: dict[str, Any] | None = None,
) -> bool:
    """False when this message was put before. Call it inside the transaction of its cause."""
    _, created = OutboxMessage.objects.get_or_create(
        once_per=f"{kind}:{once_per}"[:255],
        defaults={"organization": organization, "kind": kind, "payload": payload or {}},
    )
    return created


def deliver_due(limit: int = 200) -> int:
    """Sends what is due, one transaction each; a slow receiver delays nobody else's row."""
    sent = 0
    for pk in OutboxMessage.objects.due(timezone.now()).values_list("pk", flat=True)[:limit]:
        sent += _deliver(pk)
    return sent


def _deliver(pk: int) -> int:
    trouble = _prepare(pk)
    with transaction.atomic():
        message = (
            OutboxMessage.objects.due(timezone.now())
            .select_for_update(skip_locked=True)
            .filter(pk=pk)
            .first()
        )
        if message is None:
            return 0
        if trouble is not None:
            _retry_later(message, trouble)
            return 0
        try:
            with transaction.atomic():
                _sender_of(message.kind)(message)
        except NoLongerTrue:
            message.state = OutboxMessage.State.DROPPED
            message.save(update_fields=["state"])
            return 0
        except Exception as error:  # noqa: BLE001  whatever a mail server or receiver raises
            _retry_later(message, error)
            return 0
        message.state = OutboxMessage.State.SENT
        message.sent_at = timezone.now()
        message.save(update_fields=["state", "sent_at"])
        return 1


def _prepare(pk: int) -> Exception | None:
    message = OutboxMessage.objects.due(timezone.now()).filter(pk=pk).first()
    prepare = _preparations.get(message.kind) if message else None
    if message is None or prepare is None:
        return None
    try:
        prepare(message)
    except Exception as error:  # noqa: BLE001  whatever somebody else's server raises
        return error
    return None


def _sender_of(kind: str) -> Sender:
    found = _senders.get(kind) or _senders.get(kind.partition(".")[0])
    if found is None:
        raise LookupError(f"nothing delivers {kind}")
    return found


def _retry_later(message: OutboxMessage, error: Exception) -> None:
    message.attempts += 1
    message.last_error = redact(f"{type(error).__name__}: {error}")[:2000]
    message.next_attempt_at = timezone.now() + min(
        timedelta(seconds=15) * 2**message.attempts, _LONGEST_DELAY
    )
    if message.attempts >= MAX_ATTEMPTS:
        message.state = OutboxMessage.State.DEAD
        logger.error("alert.outbox_dead", message=message.pk, kind=message.kind)
    message.save(update_fields=["attempts", "last_error", "next_attempt_at", "state"])
