"""What no webhook told us: undelivered events, then every live customer within a day (A6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Final

import structlog
from django.db.models import F, Q
from django.utils import timezone

from billing.exceptions import BillingError
from billing.gateway import stripe_api
from billing.gateway.webhooks import comparing, envelope, inbox, processing
from billing.gateway.webhooks.handled import HANDLED
from billing.insight import drift
from billing.models import BillingAccount, DriftFinding, InboxEvent, ReconcileRun

logger = structlog.get_logger(__name__)

# Stripe lists events for 30 days.
_WINDOW: Final = timedelta(days=30)
# Hourly: every live customer is seen within a day, and a small installation sooner.
_SLICE: Final = 24
_LEAST: Final = 25
_CHUNK: Final = 100
# An event younger than this is on its way rather than lost: Stripe may be at its first try.
_ON_ITS_WAY: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Report:
    """`undelivered` events were fetched and applied now; customers were resynced, or failed."""

    undelivered: int
    resynced: int
    failed: int
    findings: int = 0


def run(*, everybody: bool = False) -> Report:
    """Safe to repeat and to run beside everything else: all of it happens under the locks.

    After a restore `everybody` is due: what Stripe had delivered already, it lists no more.
    """
    if not stripe_api.is_configured():
        return Report(undelivered=0, resynced=0, failed=0)
    record = ReconcileRun.objects.create()
    known = DriftFinding.objects.count()
    missed = list(_take_undelivered())
    for customer_id in set(missed):
        processing.drain(customer_id)
    stalest = list(_stalest(everybody=everybody))
    synced = sum(_resync(account) for account in stalest)
    report = Report(
        undelivered=len(missed),
        resynced=synced,
        failed=len(stalest) - synced,
        findings=DriftFinding.objects.count() - known,
    )
    ReconcileRun.objects.filter(pk=record.pk).update(finished_at=timezone.now(), **vars(report))
    logger.info("billing.reconciled", **vars(report))
    return report


def _take_undelivered() -> Iterator[str]:
    """Puts what we never saw into the inbox, as if it had arrived; yields whose each event is."""
    since = int((timezone.now() - _WINDOW).timestamp())
    events = (one for one in stripe_api.undelivered_events(since=since) if one["type"] in HANDLED)
    while chunk := {one["id"]: one for one in islice(events, _CHUNK)}:
        seen = InboxEvent.objects.filter(event_id__in=chunk).values_list("event_id", flat=True)
        for event_id in chunk.keys() - set(seen):
            found = envelope.read(chunk[event_id])
            inbox.store(found, {})
            _note_lost(found)
            yield found.customer_id


def _note_lost(found: envelope.Envelope) -> None:
    if found.created_at is None or timezone.now() - found.created_at < _ON_ITS_WAY:
        return
    account = BillingAccount.objects.for_stripe_customer(found.customer_id).first()
    drift.found(
        drift.Kind.UNDELIVERED,
        found.event_id,
        organization=account.organization if account else None,
        cause="reconcile",
        detail={"type": found.type, "object": found.object_id},
    )


def _stalest(*, everybody: bool) -> Any:
    """The cursor is the last turn, not the last success: a customer that fails holds up nobody."""
    live = BillingAccount.objects.exclude(stripe_customer_id=None).select_related("organization")
    if everybody:
        return live.order_by("pk")
    live = live.filter(
        Q(organization__subscriptions__isnull=False)
        | Q(organization__checkout_intents__isnull=False)
    ).distinct()
    share = max(_LEAST, -(-live.count() // _SLICE))
    return live.order_by(F("swept_at").asc(nulls_first=True), "pk")[:share]


def _resync(account: BillingAccount) -> int:
    BillingAccount.objects.filter(pk=account.pk).update(swept_at=timezone.now())
    try:
        return int(comparing.resync(account, cause="reconcile") is not None)
    except BillingError as error:
        logger.warning("billing.reconcile_failed", organization=str(account.pk), code=error.code)
        return 0
