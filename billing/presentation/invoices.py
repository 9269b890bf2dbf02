"""Invoices as people read them: rows of the table, and the same as a CSV file."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from billing.catalog.money import format_money, to_decimal
from billing.models import Invoice
from billing.presentation import pills
from billing.presentation.formats import day, span
from orgs.models import Organization

SHOWN = 24  # two years of months; the CSV has all
LINES_SHOWN = 2
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True)
class Row:
    number: str
    day: str
    covers: str
    period: str
    pill: pills.Pill
    amount: str
    from_credit: str  # what of it the customer's balance has paid, or will pay
    pdf_url: str


def newest(organization: Organization) -> list[Row]:
    invoices = Invoice.objects.filter(organization=organization).issued().newest_first()
    return [_row(invoice) for invoice in invoices[:SHOWN]]


def csv_rows(organization: Organization) -> Iterator[list[str]]:
    """Every invoice, a header first. Amounts are decimals of the currency, times ISO 8601 UTC."""
    yield [
        "number", "date", "period_start", "period_end", "covers", "status", "currency",
        "subtotal", "tax", "total", "paid", "refunded",
    ]  # fmt: skip
    invoices = Invoice.objects.filter(organization=organization).issued().newest_first()
    for invoice in invoices.iterator(chunk_size=500):
        yield [_inert(cell) for cell in _cells(invoice)]


def _row(invoice: Invoice) -> Row:
    return Row(
        number=invoice.number or invoice.stripe_id,
        day=day(invoice.created_at),
        covers=_covers(invoice),
        period=_period(invoice),
        pill=pills.of_invoice(invoice),
        amount=format_money(invoice.total, invoice.currency),
        from_credit=_from_credit(invoice),
        pdf_url=invoice.pdf_url,
    )


def _covers(invoice: Invoice) -> str:
    """The first lines; the document itself has them all."""
    # Usage that has not begun is a line of nothing.
    charged = [line for line in invoice.lines if line.get("amount", 1) or line.get("quantity")]
    names = [line["description"] for line in charged if line.get("description")]
    more = _("%(lines)s and more") if len(names) > LINES_SHOWN else "%(lines)s"
    return more % {"lines": ", ".join(names[:LINES_SHOWN])}


def _period(invoice: Invoice) -> str:
    """A one-off charge covers no period: Stripe gives it two equal instants."""
    start, end = invoice.period_start, invoice.period_end
    return span(start, end) if start and end and end > start else ""


def _from_credit(invoice: Invoice) -> str:
    used = max(0, invoice.total) - invoice.amount_due
    if used <= 0:
        return ""
    return _("%(amount)s from credit") % {"amount": format_money(used, invoice.currency)}


def _cells(invoice: Invoice) -> list[str]:
    amounts = (
        invoice.subtotal,
        invoice.tax,
        invoice.total,
        invoice.amount_paid,
        invoice.amount_refunded,
    )
    return [
        invoice.number or invoice.stripe_id,
        invoice.created_at.isoformat(),
        invoice.period_start.isoformat() if invoice.period_start else "",
        invoice.period_end.isoformat() if invoice.period_end else "",
        _covers(invoice),
        invoice.status,
        invoice.currency,
        *(f"{to_decimal(amount, invoice.currency)}" for amount in amounts),
    ]


def _inert(cell: str) -> str:
    """A spreadsheet must not run a cell (ASVS 1.2.10); a negative amount is no formula."""
    number = cell.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and not number else cell
