"""An invoice that Stripe would write, read once: lines, discount, tax, total, what is due."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line in Stripe's own words; a negative amount credits."""

    description: str
    amount: int
    quantity: int | None
    proration: bool


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Minor units of `currency`; subtotal - discount + exclusive tax = total.

    `from_balance` is what the customer's credit pays of it; `due` is what the card pays. A negative
    total charges nothing and becomes credit.
    """

    currency: str
    lines: tuple[Line, ...]
    subtotal: int
    discount: int
    tax: int
    total: int
    from_balance: int
    due: int

    @property
    def credit(self) -> int:
        return max(0, -self.total)


def read(invoice: dict[str, Any]) -> Receipt:
    total, due = invoice["total"], invoice["amount_due"]
    return Receipt(
        currency=invoice["currency"],
        lines=tuple(_line(line) for line in invoice["lines"]["data"]),
        subtotal=invoice["subtotal"],
        discount=sum(one["amount"] for one in invoice.get("total_discount_amounts") or []),
        tax=sum(one["amount"] for one in invoice.get("total_taxes") or []),
        total=total,
        from_balance=max(0, total) - due,
        due=due,
    )


def covered_until(invoice: dict[str, Any]) -> datetime | None:
    """The end of the latest period that a line covers."""
    ends = [line["period"]["end"] for line in invoice["lines"]["data"] if line.get("period")]
    return datetime.fromtimestamp(max(ends), tz=UTC) if ends else None


def _line(line: dict[str, Any]) -> Line:
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return Line(
        description=line.get("description") or "",
        amount=line["amount"],
        quantity=line.get("quantity"),
        proration=bool(details.get("proration")),
    )
