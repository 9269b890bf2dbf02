"""Credit for unused time and charge for the rest of a period, to the second.

The sums follow Stripe's published rule; they were not compared with Stripe's own answers.
"""

from dataclasses import dataclass
from decimal import Decimal

from tests.stripe_simulator.money import amount_of, rounded
from tests.stripe_simulator.periods import moment
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


@dataclass(frozen=True, kw_only=True)
class Change:
    """One item before and after; a price of None means that it was not there or is gone."""

    item: Obj
    old_price: Obj | None
    old_quantity: int
    new_price: Obj | None
    new_quantity: int

    @property
    def matters(self) -> bool:
        same_price = (self.old_price or {}).get("id") == (self.new_price or {}).get("id")
        return not (same_price and self.old_quantity == self.new_quantity)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One proration: a negative amount credits, a positive one charges."""

    amount: int
    description: str
    item: Obj
    price: Obj
    quantity: int
    period: tuple[int, int]


def prorate(
    sim: Simulator, changes: list[Change], period: tuple[int, int], at: int, currency: str
) -> list[Part]:
    """The credit and the charge of every change for the rest of the period."""
    start, end = period
    share = Decimal(max(0, end - at)) / Decimal(max(1, end - start))
    parts = []
    for change in changes:
        if not change.matters:
            continue
        sides = (
            (change.old_price, change.old_quantity, -1, "Unused time on"),
            (change.new_price, change.new_quantity, 1, "Remaining time on"),
        )
        for price, quantity, sign, words in sides:
            if price is None or price["recurring"]["usage_type"] == "metered":
                continue
            whole = amount_of(price, quantity, currency)
            parts.append(
                Part(
                    amount=sign * rounded(whole * share),
                    description=f"{words} {_named(sim, price, quantity)} after {_day(at)}",
                    item=change.item,
                    price=price,
                    quantity=quantity,
                    period=(at, end),
                )
            )
    return parts


def _named(sim: Simulator, price: Obj, quantity: int) -> str:
    name: str = sim.find("product", price["product"])["name"]
    return name if quantity == 1 else f"{quantity} x {name}"


def _day(at: int) -> str:
    return moment(at).strftime("%d %b %Y")
