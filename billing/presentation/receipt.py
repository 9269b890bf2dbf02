"""An invoice to come, as rows that add up before the reader's eyes."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from billing.catalog.money import format_money
from billing.subscription.receipts import Receipt


@dataclass(frozen=True, kw_only=True)
class Row:
    label: str
    amount: str
    total: bool = False


def rows(receipt: Receipt, *, due_label: str) -> tuple[Row, ...]:
    """Lines, discount, tax, total; `due_label` names what the card pays in the end."""
    return tuple(_rows(receipt, due_label))


def _rows(receipt: Receipt, due_label: str) -> Iterator[Row]:
    def money(amount: int) -> str:
        return format_money(amount, receipt.currency)

    for line in receipt.lines:
        if not line.amount and not line.quantity:
            continue  # usage that has not begun
        yield Row(label=line.description, amount=money(line.amount))
    if receipt.discount:
        yield Row(label=_("Discount"), amount=money(-receipt.discount))
    if receipt.tax:
        yield Row(label=_("Tax"), amount=money(receipt.tax))
    if receipt.credit:
        yield Row(label=_("Credit for your next invoices"), amount=money(receipt.credit))
    if receipt.from_balance:
        yield Row(label=_("From your credit"), amount=money(-receipt.from_balance))
    yield Row(label=due_label, amount=money(receipt.due), total=True)
