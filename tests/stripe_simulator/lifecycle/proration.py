"""Credit for unused time and charge for the rest of a period, to the second.

The sums follow Stripe's published rule; they were not compared with Stripe's own answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tests.stripe_simulator.lifecycle import discounts, standing
from tests.stripe_simulator.money import amount_of, rounded
from tests.stripe_simulator.periods import moment
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

Sold = tuple[Obj, int]  # a price and how many of it


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


def prorate(sim: Simulator, subscription: Obj, changes: list[Change], at: int) -> list[Part]:
    """The credit and the charge of every change for the rest of the period."""
    parts = []
    for change in changes:
        if change.matters:
            if _is_licensed(change.old_price):
                parts.append(_credit(sim, subscription, change, at))
            if _is_licensed(change.new_price):
                parts.append(_debit(sim, subscription, change, at))
    return parts


def give_back(sim: Simulator, subscription: Obj, at: int) -> list[Part]:
    """Credit for the unused time of everything that runs."""
    gone = [
        Change(
            item=item,
            old_price=sim.find("price", item["price"]),
            old_quantity=item.get("quantity", 0),
            new_price=None,
            new_quantity=0,
        )
        for item in standing.items_of(sim, subscription)
    ]
    return prorate(sim, subscription, gone, at)


def _credit(sim: Simulator, subscription: Obj, change: Change, at: int) -> Part:
    """What was really billed for the old quantity, for the time that is left of it."""
    price, quantity = change.old_price, change.old_quantity
    assert price is not None
    start, end = standing.period_of(sim, subscription)
    billed = next(_billed(sim, subscription, change, at), None)
    if billed is None:
        whole = _net(sim, subscription, price, quantity, at)
    else:
        whole, start, end = billed
    amount = -rounded(whole * _share(start, end, at))
    return _part(sim, change.item, (price, quantity), amount, "Unused time on", (at, end))


def _debit(sim: Simulator, subscription: Obj, change: Change, at: int) -> Part:
    price, quantity = change.new_price, change.new_quantity
    assert price is not None
    start, end = standing.period_of(sim, subscription)
    whole = _net(sim, subscription, price, quantity, at)
    amount = rounded(whole * _share(start, end, at))
    return _part(sim, change.item, (price, quantity), amount, "Remaining time on", (at, end))


def _part(
    sim: Simulator, item: Obj, sold: Sold, amount: int, words: str, period: tuple[int, int]
) -> Part:
    price, quantity = sold
    name = sim.find("product", price["product"])["name"]
    named = name if quantity == 1 else f"{quantity} x {name}"
    return Part(
        amount=amount,
        description=f"{words} {named} after {moment(period[0]).strftime('%d %b %Y')}",
        item=item,
        price=price,
        quantity=quantity,
        period=period,
    )


def _billed(
    sim: Simulator, subscription: Obj, change: Change, at: int
) -> Iterator[tuple[int, int, int]]:
    """Net amount and period of the charges that paid for an item as it is, newest first."""
    end = standing.period_of(sim, subscription)[1]
    for line in _charges(sim, subscription, change.item["id"]):
        details = (line["pricing"] or {}).get("price_details") or {}
        period = line["period"]
        if (
            details.get("price") == (change.old_price or {}).get("id")
            and line["quantity"] == change.old_quantity
            and line["amount"] > 0
            and period["end"] == end
            and period["start"] <= at
        ):
            off = sum(entry["amount"] for entry in line.get("discount_amounts") or [])
            yield line["amount"] - off, period["start"], end


def _charges(sim: Simulator, subscription: Obj, item: str) -> Iterator[Obj]:
    """Waiting invoice items first, then the lines of invoices that were not voided."""
    for waiting in reversed(sim.store.scan("invoiceitem", customer=subscription["customer"])):
        parent = (waiting.get("parent") or {}).get("subscription_details") or {}
        if parent.get("subscription_item") == item and waiting["invoice"] is None:
            yield waiting
    for invoice in reversed(sim.store.scan("invoice", customer=subscription["customer"])):
        if invoice["status"] == "void":
            continue
        for line in reversed(invoice["lines"]["data"]):
            parent = line["parent"]["subscription_item_details"] or {}
            if parent.get("subscription_item") == item:
                yield line


def _net(sim: Simulator, subscription: Obj, price: Obj, quantity: int, at: int) -> int:
    """A whole period's price after the discounts that run."""
    currency = subscription["currency"]
    amount = amount_of(price, quantity, currency)
    for key in subscription["discounts"]:
        discount = sim.find("discount", key)
        if discounts.is_running(sim, discount, at):
            coupon = discounts.coupon_of(sim, discount)
            amount -= discounts.shares(coupon, [amount], currency)[0]
    return amount


def _share(start: int, end: int, at: int) -> Decimal:
    return Decimal(max(0, end - at)) / Decimal(max(1, end - start))


def _is_licensed(price: Obj | None) -> bool:
    return price is not None and price["recurring"]["usage_type"] != "metered"
