"""Billing's door for whoever counts usage: what is billed beyond the plan, and reporting it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from billing import catalog
from billing.gateway import meter_events
from billing.gateway.meter_events import MeterEvent
from billing.models import ExtraPrice, StripeMeter, Subscription
from orgs.models import Organization

__all__ = ["MeterEvent", "Metered", "counted", "counted_in_minute", "of", "send", "subscribed"]


@dataclass(frozen=True, kw_only=True)
class Metered:
    """A meter whose overage Stripe bills: the subscription's item, its price and its clock.

    `rate` is in minor units of `currency` per `per` units. `edge` is the end of the subscription's
    period, or its start while it runs.
    """

    meter: str
    event_name: str
    stripe_meter_id: str
    customer_id: str
    subscription_id: str
    since: datetime
    period_start: datetime
    period_end: datetime
    currency: str
    rate: Decimal
    per: int

    def last_edge(self, now: datetime) -> datetime:
        """When the subscription's period changed last, by what we know of it."""
        return self.period_end if self.period_end <= now else self.period_start


def of(organization: Organization) -> dict[str, Metered]:
    """By meter; empty for whoever pays nothing at Stripe: trials, grants, the default plan."""
    standing = (
        organization.subscriptions.standing()
        .filter(organization__billing_account__customer_deleted_at=None)
        .order_by("created_at", "stripe_id")
    )
    found: dict[str, Metered] = {}
    for subscription in standing:
        for price in _priced(subscription):
            if price.key not in found:
                known = _metered(subscription, price)
                if known is not None:
                    found[price.key] = known
    return found


def subscribed() -> QuerySet[Organization]:
    """Organizations that have a subscription with an item of usage."""
    standing = Subscription.objects.standing().filter(items__contains=[{"metered": True}])
    found: QuerySet[Organization] = Organization.objects.filter(
        pk__in=standing.values("organization_id"), closed_at=None
    ).order_by("pk")
    return found


def send(event: MeterEvent) -> bool:
    """False when Stripe has it already. Raises StripeUnavailable (unknown) and StripeRefused."""
    return meter_events.send(event)


def counted_in_minute(meter: str, customer_id: str, at: datetime) -> Decimal | None:
    """What Stripe says; None where the meter is not published."""
    known = _meter(meter)
    if known is None:
        return None
    return meter_events.counted_in_minute(known.stripe_id, customer_id, at)


def counted(meter: str, customer_id: str, start: datetime, end: datetime) -> Decimal | None:
    known = _meter(meter)
    if known is None:
        return None
    return meter_events.counted(known.stripe_id, customer_id, start, end)


def _priced(subscription: Subscription) -> list[ExtraPrice]:
    named = [item["price"] for item in subscription.items if item["metered"]]
    if not named:
        return []
    rows = ExtraPrice.objects.with_stripe_ids(named).of_catalog(catalog.current().key)
    return list(rows.of_kind(ExtraPrice.Kind.OVERAGE).order_by("pk"))


def _metered(subscription: Subscription, price: ExtraPrice) -> Metered | None:
    meter = _meter(price.key)
    start, end = subscription.current_period_start, subscription.current_period_end
    if meter is None or start is None or end is None:
        return None
    return Metered(
        meter=price.key,
        event_name=meter.event_name,
        stripe_meter_id=meter.stripe_id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.stripe_id,
        since=subscription.created_at,
        period_start=start,
        period_end=end,
        currency=subscription.currency,
        rate=Decimal(price.terms["rate"]),
        per=int(price.terms["per"]),
    )


def _meter(key: str) -> StripeMeter | None:
    return StripeMeter.objects.filter(catalog=catalog.current().key, meter=key).first()
