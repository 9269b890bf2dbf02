"""The invoice as a small PDF that a person can read, in Latin and Vietnamese letters."""

from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from tests.stripe_simulator.lifecycle.invoices import ACCOUNT_NAME
from tests.stripe_simulator.pages.words import day, say
from tests.stripe_simulator.periods import moment
from tests.stripe_simulator.store import Obj

FONTS = Path(__file__).parent / "fonts"
WIDTHS = (96, 44, 14, 36)
LINE = 6


def invoice_pdf(
    invoice: Obj,
    rows: list[Obj],
    totals: list[tuple[str, str]],
    *,
    title: str = "Invoice",
    locale: str = "en",
) -> bytes:
    paper = FPDF(format="A4")
    paper.add_font("Roboto", "", FONTS / "Roboto-Regular.ttf")
    paper.add_font("Roboto", "B", FONTS / "Roboto-Bold.ttf")
    paper.set_margin(10)
    paper.set_title(f"{say(locale, title)} {invoice['number']}")
    paper.set_creation_date(moment(invoice["created"]))
    paper.add_page()
    _head(paper, invoice, title, locale)
    _table(paper, rows, locale)
    for name, amount in totals:
        paper.set_font("Roboto", "B" if name in {"Amount due", "Credited"} else "", 10)
        _cells(
            paper, ("", "", say(locale, name), amount), (WIDTHS[0], WIDTHS[1] - 20, 34, WIDTHS[3])
        )
    _foot(paper, invoice, locale)
    return bytes(paper.output())


def _head(paper: FPDF, invoice: Obj, title: str, locale: str) -> None:
    paper.set_font("Roboto", "B", 18)
    _line(paper, say(locale, title), 10)
    paper.set_font("Roboto", "", 10)
    address = invoice["customer_address"] or {}
    place = ", ".join(
        address[name] for name in ("line1", "city", "postal_code", "country") if address.get(name)
    )
    stated: list[tuple[str, Any]] = [
        ("Number", invoice["number"]),
        ("Date", day(invoice["status_transitions"]["finalized_at"], locale)),
        ("Due", day(invoice["due_date"], locale)),
        ("Status", say(locale, invoice["status"])),
        ("From", ACCOUNT_NAME),
        ("To", invoice["customer_name"] or invoice["customer_email"]),
        ("Address", place),
    ]
    stated += [(one["type"], one["value"]) for one in invoice["customer_tax_ids"] or []]
    stated += [(one["name"], one["value"]) for one in invoice["custom_fields"] or []]
    for name, value in stated:
        if value:
            paper.set_font("Roboto", "B", 10)
            paper.cell(30, LINE, say(locale, name))
            paper.set_font("Roboto", "", 10)
            _line(paper, str(value))
    paper.ln(LINE)


def _table(paper: FPDF, rows: list[Obj], locale: str) -> None:
    paper.set_font("Roboto", "B", 10)
    heads = [say(locale, name) for name in ("Description", "Period", "Qty", "Amount")]
    _cells(paper, tuple(heads), WIDTHS)
    paper.set_font("Roboto", "", 9)
    for row in rows:
        values = (row["text"], row["period"], str(row["quantity"]), row["amount"])
        _cells(paper, values, WIDTHS)
    paper.ln(LINE / 2)


def _foot(paper: FPDF, invoice: Obj, locale: str) -> None:
    paper.ln(LINE)
    paper.set_font("Roboto", "", 9)
    if invoice["footer"]:
        paper.multi_cell(0, LINE, invoice["footer"])
    made = "Made by a simulator: no money moved. Proration amounts are not Stripe's."
    _line(paper, say(locale, made))


def _cells(paper: FPDF, values: tuple[str, ...], widths: tuple[int, ...]) -> None:
    """One row; the last column stands to the right, long texts are cut."""
    for index, (value, width) in enumerate(zip(values, widths, strict=True)):
        text = value
        while text and paper.get_string_width(text) > width - 2:
            text = text[:-2] + "…" if text.endswith("…") else text[:-1] + "…"
        last = index == len(values) - 1
        paper.cell(width, LINE, text, align="R" if last else "L")
    paper.ln(LINE)


def _line(paper: FPDF, text: str, height: float = LINE) -> None:
    paper.cell(0, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
