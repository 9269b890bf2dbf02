"""What an organization holds at Stripe now, and bringing it up to date after an act of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from billing import catalog
from billing.exceptions import BillingError, NotSubscribed
from billing.gateway import locks
from billing.gateway.webhooks import processing
from billing.models import BillingAccount, ExtraPrice, PlanPrice, Subscription
from orgs.models import Organization

logger = structlog.get_logger(__name__)

# Longer than a worker holds a customer; shorter than people wait for a page.
_PATIENCE_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Coming:
    """What a schedule at Stripe makes of the subscription at the end of its period."""

    at: datetime
    price: PlanPrice
    seats: int
    packs: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Holding:
    """The one standing subscription and the prices of ours that it pays, archived or not."""

    subscription: Subscription
    price: PlanPrice
    # Those beside the plan, by Stripe's price id.
    extras: Mapping[str, ExtraPrice] = field(default_factory=dict)

    @property
    def plan_key(self) -> str:
        return self.price.plan.key

    @property
    def seats(self) -> int:
        return self.subscription.quantity

    @property
    def item_id(self) -> str:
        """Stripe's item that carries the plan."""
        return str(self._base()["id"])

    @cached_property
    def metered(self) -> dict[str, tuple[dict[str, Any], ExtraPrice]]:
        """By meter: the item of usage that is billed after the period, and its price."""
        return self._of_kind(ExtraPrice.Kind.OVERAGE)

    @cached_property
    def packs(self) -> dict[str, tuple[dict[str, Any], ExtraPrice]]:
        """By the key of the add-on: its item and its price."""
        return self._of_kind(ExtraPrice.Kind.ADDON)

    @cached_property
    def coming(self) -> Coming | None:
        scheduled = self.subscription.scheduled
        if "at" not in scheduled:
            return None
        price = _sold_as(scheduled["price"])
        if price is None:
            return None
        named = {item["price"]: item["quantity"] for item in scheduled.get("items", [])}
        packs = ExtraPrice.objects.with_stripe_ids(named).of_kind(ExtraPrice.Kind.ADDON)
        return Coming(
            at=datetime.fromisoformat(scheduled["at"]),
            price=price,
            seats=scheduled["quantity"],
            packs={pack.key: named[pack.stripe_price_id] for pack in packs},
        )

    def _of_kind(self, kind: str) -> dict[str, tuple[dict[str, Any], ExtraPrice]]:
        priced = [(item, self.extras.get(item["price"])) for item in self.subscription.items]
        return {
            extra.key: (item, extra)
            for item, extra in priced
            if extra is not None and extra.kind == kind
        }

    def _base(self) -> dict[str, Any]:
        price = self.price.stripe_price_id
        found: dict[str, Any] = next(
            item for item in self.subscription.items if item["price"] == price
        )
        return found


def of(organization: Organization) -> Holding:
    """Raises NotSubscribed where nothing stands, or stands on a price of no plan of ours."""
    standing = organization.subscriptions.standing().order_by("created_at", "stripe_id").first()
    price = _sold_as(standing.price_id) if standing is not None else None
    if standing is None or price is None:
        raise NotSubscribed(
            _("This workspace has no subscription to change."), next_action="checkout"
        )
    named = [item["price"] for item in standing.items]
    extras = ExtraPrice.objects.with_stripe_ids(named)
    return Holding(
        subscription=standing,
        price=price,
        extras={extra.stripe_price_id or "": extra for extra in extras},
    )


def _sold_as(stripe_price_id: str) -> PlanPrice | None:
    return (
        PlanPrice.objects.with_stripe_id(stripe_price_id)
        .filter(plan__catalog=catalog.current().key)
        .select_related("plan")
        .first()
    )


def lock(organization: Organization) -> None:
    """One act at a time, until the transaction ends: the second sees what the first made."""
    locks.wait_for(f"act:{organization.pk}")


def bring_up_to_date(organization: Organization, *, cause: str) -> bool:
    """After an act: what Stripe now says, under the customer's lock, so that the page is right.

    False when that failed or took too long; the webhooks of the act then do it.
    """
    account = BillingAccount.objects.select_related("organization").get(organization=organization)
    try:
        with transaction.atomic():
            if account.stripe_customer_id and not locks.wait_for_customer(
                account.stripe_customer_id, seconds=_PATIENCE_SECONDS
            ):
                return False
            return processing.resync(account, cause=cause)
    except BillingError as error:
        logger.warning("billing.resync_failed", cause=cause, error=error.code)
        return False
