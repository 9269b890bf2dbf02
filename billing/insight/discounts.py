"""What coupons take off what a subscription pays every month.

Stripe forgets a discount that has ended, and so does its mirror: before that it counts for as long
as it held, afterwards for no time at all. What is taken off one invoice only never counts.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

from billing.models import Subscription

Discount = dict[str, Any]
NOTHING = Fraction(0)


def held_at(instant: datetime) -> Mapping[str, list[Discount]]:
    """By subscription; one query for all."""
    rows = Subscription.objects.exclude(discounts=[]).values_list("stripe_id", "discounts")
    held = {name: [one for one in found if _holds(one, instant)] for name, found in rows}
    return {name: found for name, found in held.items() if found}


def net(amount: Fraction, currency: str, months: int, held: Iterable[Discount]) -> Fraction:
    """One after the other, as Stripe does, and never below nothing. `months` has one invoice."""
    for one in held:
        if one.get("percent_off"):
            amount -= amount * Fraction(str(one["percent_off"])) / 100
        elif one.get("amount_off") and one.get("currency") == currency:
            amount -= Fraction(one["amount_off"], months)
    return max(amount, NOTHING)


def _holds(one: Discount, instant: datetime) -> bool:
    if one.get("once"):
        return False
    starts_at, ends_at = one.get("starts_at"), one.get("ends_at")
    begun = starts_at is None or datetime.fromisoformat(starts_at) <= instant
    return begun and (ends_at is None or instant < datetime.fromisoformat(ends_at))
