"""What no webhook told us: undelivered events, then live customers, oldest sync first (A6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db.models import F
from django.utils import timezone

from billing.exceptions import BillingError
from billing.gateway import stripe_api
from billing.gateway.webhooks import envelope, processing
from billing.gateway.webhooks.handled import HANDLED
from billing.models import BillingAccount

logger = structlog.get_logger(__name__)

# Stripe lists events for 30 days.
_WINDOW: Final = timedelta(days=30)
# Hourly: every live customer is seen within a day.
_SLICE: Final = 24


@dataclass(frozen=True, kw_only=True)
class Report:
    undelivered: int
    resynced: int
    failed: int


def run() -> Report:
    """Safe to repeat and to run beside everything else: it only calls `resync` under the lock."""
    if not stripe_api.is_configured():
        return Report(undelivered=0, resynced=0, failed=0)
    missed = set(_customers_of_undelivered())
    accounts = {account.pk: account for account in _accounts_of(missed)}
    accounts |= {account.pk: account for account in _stalest()}
    synced = sum(_resync(account) for account in accounts.values())
    report = Report(undelivered=len(missed), resynced=synced, failed=len(accounts) - synced)
    logger.info("billing.reconciled", undelivered=report.undelivered, resynced=report.resynced)
    return report


def _customers_of_undelivered() -> Iterator[str]:
    since = int((timezone.now() - _WINDOW).timestamp())
    for event in stripe_api.undelivered_events(since=since):
        if event["type"] in HANDLED:
            yield envelope.customer_of(event)


def _accounts_of(customer_ids: set[str]) -> Any:
    return BillingAccount.objects.filter(stripe_customer_id__in=customer_ids).select_related(
        "organization"
    )


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
