"""From inbox rows to the mirror, our rows and the effective plan: one customer at a time.

The customer's lock comes before anything is fetched; everything up to the new verdict is one
transaction, so a crash leaves either nothing or all of it (A4, A26, A32).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import SystemRandom
from typing import Final

import stripe
import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from djstripe.models import Event
from structlog.contextvars import bind_contextvars, bound_contextvars

from billing.entitlement import store
from billing.exceptions import NotConfigured, StripeUnavailable
from billing.gateway import breaker, locks, mirror, own_rows, stripe_api
from billing.insight import drift
from billing.models import BillingAccount, CustomerTransfer, InboxEvent, Invoice
from billing.redaction import redact
from billing.signals import events_applied, events_arrived, invoices_copied

logger = structlog.get_logger(__name__)

MAX_ATTEMPTS: Final = 8
_BATCH: Final = 200
# In seconds: while Stripe is slow, others with this customer in hand wait no longer than this and
# one more answer of it.
_LONGEST_HOLD: Final = 4.0
_FIRST_DELAY: Final = timedelta(seconds=5)
_LONGEST_DELAY: Final = timedelta(hours=1)
# A customer of ours may be announced before its id is on our row; one of another product never is.
_UNKNOWN_CUSTOMER_ATTEMPTS: Final = 5
_random = SystemRandom()
# No event can be blamed for these: an outage or a revoked key must not kill rows.
_NOBODYS_FAULT: Final = (
    stripe.APIConnectionError,
    stripe.APIError,
    stripe.AuthenticationError,
    stripe.PermissionError,
    stripe.RateLimitError,
    NotConfigured,
    StripeUnavailable,
)


@dataclass(frozen=True, kw_only=True)
class Drained:
    """`busy`: another worker has the customer; try again. `more`: rows came in meanwhile."""

    busy: bool = False
    done: int = 0
    more: bool = False


class _CustomerGone(Exception):
    """Stripe has deleted the customer, whatever the events in hand say."""


def drain(customer_id: str) -> Drained:
    """Apply every waiting event of one customer. Errors of Stripe leave the rows for later."""
    if breaker.is_open():
        return Drained()  # the rows stay due, and the sweeper comes back
    with bound_contextvars(customer_id=customer_id, organization=None):
        return _drain(customer_id)


def _drain(customer_id: str) -> Drained:
    try:
        with transaction.atomic():
            if not locks.try_customer(customer_id):
                return Drained(busy=True)
            done = _drain_locked(customer_id)
    except Exception as error:  # noqa: BLE001  the rows are the retry; nothing may be lost
        _postpone(customer_id, error)
        return Drained()
    if done:
        breaker.answered()
    return Drained(done=done, more=_has_due(customer_id))


def resync(account: BillingAccount, *, cause: str) -> bool:
    """Bring one customer up to date from Stripe itself, whatever the inbox holds.

    Return page, replay and reconcile use it. False when another worker has the customer. Raises
    BillingError where Stripe fails.
    """
    customer_id = account.stripe_customer_id
    if customer_id is None:
        return True
    with transaction.atomic():
        if not locks.try_customer(customer_id):
            return False
        with stripe_api.translated("resync"):  # dj-stripe fetches related objects by itself
            exists = mirror.resync(customer_id)
        _derive(customer_id, cause=cause, gone=not exists, everything=True)
        events_applied.send(InboxEvent, customer_id=customer_id, events=[])
    return True


def _drain_locked(customer_id: str) -> int:
    rows = list(_due(customer_id)[:_BATCH])
    if not customer_id:
        rows = _left_to_nobody(rows)
    if not rows:
        return 0
    if not customer_id:
        return len(_apply_and_finish(rows))
    account = BillingAccount.objects.for_stripe_customer(customer_id).first()
    if account is None:
        _hold_unknown(rows)
        return 0
    bind_contextvars(organization=str(account.pk))
    rows = [row for row in rows if not _is_misdirected(row, account)]
    gone = account.customer_deleted_at is not None
    try:
        applied = rows if gone else _apply_and_finish(rows)
    except _CustomerGone:
        gone, applied = True, rows
    if gone:
        _finish(rows)
    if applied:
        _derive(customer_id, cause=applied[-1].event_id, gone=gone)
        events_applied.send(InboxEvent, customer_id=customer_id, events=applied)
    return len(applied)


def _apply_and_finish(rows: list[InboxEvent]) -> list[InboxEvent]:
    """Every row of an object that was brought up to date is done, not only the newest."""
    applied = [row for row in _in_time(_newest_per_object(rows)) if _apply(row)]
    fresh = {_subject(row) for row in applied}
    _finish(row for row in rows if _subject(row) in fresh)
    return applied


def _in_time(rows: Iterable[InboxEvent]) -> Iterator[InboxEvent]:
    """At least one; what is left over waits for the next turn, and people go between."""
    until = time.monotonic() + _LONGEST_HOLD
    for row in rows:
        yield row
        if time.monotonic() >= until:
            return


def _left_to_nobody(rows: list[InboxEvent]) -> list[InboxEvent]:
    """A dispute names a charge and a clock nobody: find whose it is, leave it to that customer."""
    others = []
    for row in rows:
        finder = _OWNER_FINDERS.get(row.type.rpartition(".")[0])
        if finder is None:
            others.append(row)
            continue
        customer_id = finder(row)
        if not customer_id:
            _hold_unknown([row])
            continue
        InboxEvent.objects.waiting().filter(pk=row.pk).update(customer_id=customer_id)
        events_arrived.send_robust(InboxEvent, customer_id=customer_id)
    return others


def _owner_of_dispute(row: InboxEvent) -> str:
    charge = row.payload["data"]["object"].get("charge")
    return mirror.customer_of_charge(charge) if isinstance(charge, str) else ""


def _owner_of_clock(row: InboxEvent) -> str:
    account = BillingAccount.objects.filter(test_clock_id=row.object_id).first()
    return (account.stripe_customer_id or "") if row.object_id and account else ""


_OWNER_FINDERS: Final[Mapping[str, Callable[[InboxEvent], str]]] = {
    "charge.dispute": _owner_of_dispute,
    "test_helpers.test_clock": _owner_of_clock,
}


def _due(customer_id: str) -> QuerySet[InboxEvent]:
    return InboxEvent.objects.due(timezone.now()).of_customer(customer_id).order_by("id")


def _has_due(customer_id: str) -> bool:
    return bool(_due(customer_id).exists())


def _newest_per_object(rows: Iterable[InboxEvent]) -> list[InboxEvent]:
    """An object is fetched once, however many events name it: only its present state counts.

    `deleted` is kept beside later events of the same object, because it fetches nothing.
    """
    chosen = {_subject(row): row for row in rows}
    return sorted(chosen.values(), key=lambda row: row.pk)


def _subject(row: InboxEvent) -> tuple[str, bool]:
    return row.object_id or row.event_id, row.type.endswith(".deleted")


def _apply(row: InboxEvent) -> bool:
    """One event through dj-stripe, in its own savepoint: a poisoned one holds no others."""
    try:
        with transaction.atomic():
            _mirror_event(row)
    except _CustomerGone:
        raise
    except _NOBODYS_FAULT as error:
        raise StripeUnavailable("Stripe failed while an event was applied.") from error
    except Exception as error:  # noqa: BLE001  any other error belongs to this row alone
        _retry_later(row, error)
        return False
    return True


def _mirror_event(row: InboxEvent) -> None:
    if row.type == "customer.deleted":
        raise _CustomerGone  # dj-stripe would send Stripe a DELETE; the tombstone is ours
    if row.type in {"customer.created", "customer.updated"}:
        if not mirror.refresh_customer(row.object_id):
            raise _CustomerGone
        return
    if row.type.startswith("test_helpers.test_clock."):
        return  # the account's copy asks for the clock itself
    if row.type == "payment_method.detached":
        mirror.refresh_payment_method(row.object_id)
        return
    started = timezone.now()
    # Our inbox decides what is new: dj-stripe would skip an event that it has seen.
    Event.objects.filter(id=row.event_id).delete()
    Event.process(row.payload)
    if row.type == "invoice.deleted":
        Invoice.objects.filter(stripe_id=row.object_id).delete()
    subscription_id = _subscription_of(row)
    if subscription_id and mirror.forget_unseen_subscription(subscription_id, since=started):
        own_rows.end_subscription(subscription_id)


def _subscription_of(row: InboxEvent) -> str:
    """A schedule's event names the subscription that it changes; no event of its own need follow.

    Like every payload it only says which one to ask for.
    """
    if row.type.startswith("customer.subscription."):
        return row.object_id
    if not row.type.startswith("subscription_schedule."):
        return ""
    schedule = row.payload["data"]["object"]
    named = schedule.get("subscription") or schedule.get("released_subscription")
    return named if isinstance(named, str) else ""


def _derive(customer_id: str, *, cause: str, gone: bool = False, everything: bool = False) -> None:
    account = BillingAccount.objects.select_related("organization").get(
        stripe_customer_id=customer_id
    )
    if gone:
        own_rows.tombstone(account)
    else:
        own_rows.copy(account, everything=everything)
    store.rederive(account.organization, cause=cause)
    invoices_copied.send(Invoice, organization=account.organization)


# --- The rows' own life -----------------------------------------------------------------------


def _finish(rows: Iterable[InboxEvent]) -> None:
    InboxEvent.objects.waiting().filter(pk__in=[row.pk for row in rows]).update(
        state=InboxEvent.State.DONE, finished_at=timezone.now(), note=""
    )


def _hold_unknown(rows: Iterable[InboxEvent]) -> None:
    """Our row alone says whose a customer is; metadata is never believed (A21)."""
    for row in rows:
        given_up = row.attempts + 1 >= _UNKNOWN_CUSTOMER_ATTEMPTS
        if given_up:
            logger.warning("stripe.customer_unknown", event_id=row.event_id)
            drift.stranger(row)
        state = InboxEvent.State.IGNORED if given_up else InboxEvent.State.WAITING
        _count_attempt(row, state=state, note="no organization has this customer")


def _is_misdirected(row: InboxEvent, account: BillingAccount) -> bool:
    """The object says that it is another organization's: somebody must look at it (A21)."""
    metadata = row.payload["data"]["object"].get("metadata")
    named = metadata.get("organization") if isinstance(metadata, dict) else None
    if not named or named == str(account.organization_id) or _came_from(row, named):
        return False
    logger.error("alert.stripe_event_misdirected", event_id=row.event_id, named=named)
    _count_attempt(
        row,
        state=InboxEvent.State.DEAD,
        note="quarantined: its metadata names another organization",
    )
    return True


def _came_from(row: InboxEvent, named: object) -> bool:
    """A customer that changed hands: an event made before that names whom it left."""
    given = CustomerTransfer.objects.of_customer(row.customer_id)
    return str(named) in {str(source) for source in given.values_list("source_id", flat=True)}


def _retry_later(row: InboxEvent, error: Exception) -> None:
    dead = row.attempts + 1 >= MAX_ATTEMPTS
    logger.warning("stripe.event_failed", event_id=row.event_id, type=row.type, exc_info=error)
    if dead:
        logger.error("alert.stripe_event_dead", event_id=row.event_id, type=row.type)
    state = InboxEvent.State.DEAD if dead else InboxEvent.State.WAITING
    _count_attempt(row, state=state, note=redact(f"{type(error).__name__}: {error}")[:2000])


def _count_attempt(row: InboxEvent, *, state: str, note: str) -> None:
    """Only a row that still waits: another worker may have finished it meanwhile."""
    now = timezone.now()
    row.attempts += 1
    InboxEvent.objects.waiting().filter(pk=row.pk).update(
        attempts=row.attempts,
        state=state,
        note=note,
        next_attempt_at=now + _delay(row.attempts),
        finished_at=None if state == InboxEvent.State.WAITING else now,
    )


def _postpone(customer_id: str, error: Exception) -> None:
    """The whole drain was undone: count the attempt outside of it."""
    logger.warning("stripe.drain_failed", customer=customer_id, error=redact(repr(error))[:500])
    if isinstance(error, _NOBODYS_FAULT):
        breaker.failed()
        # Nobody's fault: no attempt is counted against the row, it only waits.
        _due(customer_id).update(
            next_attempt_at=timezone.now() + _delay(2), note="Stripe does not answer"
        )
        return
    for row in _due(customer_id)[:_BATCH]:
        _retry_later(row, error)


def _delay(attempts: int) -> timedelta:
    """Exponential with jitter, at most an hour."""
    exponential: timedelta = min(_FIRST_DELAY * 2 ** (attempts - 1), _LONGEST_DELAY)
    jitter: float = 0.75 + _random.random() / 2
    return exponential * jitter
