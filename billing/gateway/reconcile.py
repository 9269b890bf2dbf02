"""What no webhook told us: undelivered events, then live customers, oldest sync first (A6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Final

import structlog
from django.db.models import F
from django.utils import timezone

from billing.exceptions import BillingError
from billing.gateway import stripe_api
from billing.gateway.webhooks import envelope, inbox, processing
from billing.gateway.webhooks.handled import HANDLED
from billing.models import BillingAccount, InboxEvent

logger = structlog.get_logger(__name__)

# Stripe lists events for 30 days.
_WINDOW: Final = timedelta(days=30)
# Hourly: every live customer is seen within a day.
_SLICE: Final = 24


_CHUNK: Final = 100


@dataclass(frozen=True, kw_only=True)
class Report:
    """`undelivered` events were fetched and applied now; customers were resynced, or failed."""

    undelivered: int
    resynced: int
    failed: int


def run() -> Report:
    """Safe to repeat and to run beside everything else: all of it happens under the locks."""
    if not stripe_api.is_configured():
        return Report(undelivered=0, resynced=0, failed=0)
    missed = list(_take_undelivered())
    for customer_id in set(missed):
        processing.drain(customer_id)
    stalest = list(_stalest())
    synced = sum(_resync(account) for account in stalest)
    report = Report(undelivered=len(missed), resynced=synced, failed=len(stalest) - synced)
    logger.info("billing.reconciled", undelivered=report.undelivered, resynced=report.resynced)
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
            yield found.customer_id


def _stalest() -> Any:
    live = (
        BillingAccount.objects.exclude(stripe_customer_id=None)
        .filter(organization__subscriptions__isnull=False)
        .select_related("organization")
        .distinct()
    )
    share = max(1, -(-live.count() // _SLICE))
    return live.order_by(F("synced_at").asc(nulls_first=True))[:share]


def _resync(account: BillingAccount) -> int:
    try:
        return int(processing.resync(account, cause="reconcile"))
    except BillingError as error:
        logger.warning("billing.reconcile_failed", organization=str(account.pk), code=error.code)
        return 0
