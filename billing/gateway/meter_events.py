"""Usage on its way to Stripe's Billing Meters.

https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api: an identifier counts
once in 24 hours at least; timestamps lie at most 35 days back and 5 minutes ahead; sums follow
with a delay; quantities may be negative.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.gateway import stripe_api

_MINUTE: Final = 60


@dataclass(frozen=True, kw_only=True)
class MeterEvent:
    """`units` of one customer at `at`; a negative number takes back."""

    identifier: str
    event_name: str
    customer_id: str
    units: int
    at: datetime


def send(event: MeterEvent) -> bool:
    """False when Stripe has an event of this identifier already.

    Raises StripeUnavailable, after which nobody knows whether it arrived, and StripeRefused.
    """
    return stripe_api.create_meter_event(
        {
            "event_name": event.event_name,
            "identifier": event.identifier,
            "payload": {"stripe_customer_id": event.customer_id, "value": str(event.units)},
            "timestamp": int(event.at.timestamp()),
        }
    )


def counted_in_minute(meter_id: str, customer_id: str, at: datetime) -> Decimal:
    """What Stripe has counted in the whole minute that holds `at`: its finest resolution."""
    start = int(at.timestamp()) // _MINUTE * _MINUTE
    return stripe_api.sum_of_meter(meter_id, customer=customer_id, start=start, end=start + _MINUTE)


def counted(meter_id: str, customer_id: str, start: datetime, end: datetime) -> Decimal:
    """Over the whole minutes that hold the interval."""
    first = int(start.timestamp()) // _MINUTE * _MINUTE
    last = -(-int(end.timestamp()) // _MINUTE) * _MINUTE
    return stripe_api.sum_of_meter(meter_id, customer=customer_id, start=first, end=last)
