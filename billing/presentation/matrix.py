"""The plan table: what each plan costs and holds, and the one thing its button does."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from billing.catalog import Catalog
from billing.catalog import matrix as table
from billing.catalog.money import format_money
from billing.models import PlanPrice, SubscriptionPlan
from billing.presentation.buttons import Button, Standing, Terms, button_for


@dataclass(frozen=True, kw_only=True)
class Seats:
    least: int
    most: int | None
    suggested: int


@dataclass(frozen=True, kw_only=True)
class Column:
    key: str
    name: str
    summary: str
    price: str
    price_note: str
    current: bool
    button: Button
    seats: Seats | None  # where Checkout asks for them


@dataclass(frozen=True, kw_only=True)
class Option:
    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Matrix:
    terms: Terms
    current: str
    intervals: tuple[Option, ...]
    currencies: tuple[Option, ...]
    columns: tuple[Column, ...]
    groups: tuple[table.Group, ...]

    @property
    def has_choice(self) -> bool:
        return len(self.intervals) > 1 or len(self.currencies) > 1


def build(
    catalog: Catalog, plans: list[SubscriptionPlan], standing: Standing, wanted: Terms
) -> Matrix:
    """Shows what is on sale. `wanted` falls back to what is sold: it came from a URL."""
    plans = [plan for plan in plans if _is_shown(catalog, plan, standing)]
    terms = _sold(catalog, plans, standing, wanted)
    return Matrix(
        terms=terms,
        current=standing.plan_key,
        intervals=_intervals(plans, terms),
        currencies=_currencies(catalog, standing, terms),
        columns=tuple(_column(catalog, plan, standing, terms) for plan in plans),
        groups=tuple(_groups(catalog, plans, terms.currency)),
    )


def _is_shown(catalog: Catalog, plan: SubscriptionPlan, standing: Standing) -> bool:
    entry = catalog.plans.get(plan.key)
    return entry is not None and (standing.kind in entry.audience or plan.key == standing.plan_key)


def _sold(
    catalog: Catalog, plans: list[SubscriptionPlan], standing: Standing, wanted: Terms
) -> Terms:
    prices = [price for plan in plans for price in _on_sale(plan)]
    usual = catalog.currencies[0]
    now = standing.terms or Terms(interval="month", currency=usual)
    intervals = (wanted.interval, now.interval, "month")
    currencies = (standing.fixed_currency, wanted.currency, now.currency)
    return Terms(
        interval=_first_of(intervals, [price.interval for price in prices], "month"),
        currency=_first_of(currencies, [price.currency for price in prices], usual),
    )


def _first_of(wishes: Iterable[str], sold: list[str], otherwise: str) -> str:
    return next((wish for wish in wishes if wish in sold), next(iter(sold), otherwise))


def _intervals(plans: list[SubscriptionPlan], terms: Terms) -> tuple[Option, ...]:
    sold = {price.interval for plan in plans for price in _on_sale(plan)}
    labels = {"month": _("Monthly"), "year": _yearly(plans, terms.currency)}
    return tuple(
        Option(value=value, label=label, chosen=value == terms.interval)
        for value, label in labels.items()
        if value in sold
    )


def _yearly(plans: list[SubscriptionPlan], currency: str) -> str:
    """Promises free months only where every paid plan gives the same whole number of them."""
    free = {
        12 - year.unit_amount / month.unit_amount
        for plan in plans
        if (month := _price(plan, Terms(interval="month", currency=currency)))
        and (year := _price(plan, Terms(interval="year", currency=currency)))
        and month.unit_amount
    }
    months = free.pop() if len(free) == 1 else 0
    if months < 1 or months != int(months):
        return _("Yearly")
    sentence = ngettext("Yearly, %(n)d month free", "Yearly, %(n)d months free", int(months))
    return sentence % {"n": int(months)}


def _currencies(catalog: Catalog, standing: Standing, terms: Terms) -> tuple[Option, ...]:
    offered = (standing.fixed_currency,) if standing.fixed_currency else catalog.currencies
    return tuple(
        Option(value=code, label=code.upper(), chosen=code == terms.currency) for code in offered
    )


def _column(catalog: Catalog, plan: SubscriptionPlan, standing: Standing, terms: Terms) -> Column:
    price = _price(plan, terms)
    button = button_for(catalog, plan, standing, price)
    asks = plan.per_seat and button.kind == "checkout"
    return Column(
        key=plan.key,
        name=plan.name,
        summary=plan.summary,
        price=_price_text(catalog, plan, price, terms),
        price_note=_price_note(plan, price),
        current=plan.key == standing.plan_key,
        button=button,
        seats=_seats(plan, standing) if asks else None,
    )


def _price_text(
    catalog: Catalog, plan: SubscriptionPlan, price: PlanPrice | None, terms: Terms
) -> str:
    if plan.kind == SubscriptionPlan.Kind.CONTRACT:
        return str(catalog.plans[plan.key].contract_text or pgettext("price", "Custom"))
    if price is not None:
        return format_money(price.unit_amount, price.currency, short=True)
    if plan.kind == SubscriptionPlan.Kind.FREE and terms.currency:
        return format_money(0, terms.currency, short=True)
    return ""


def _price_note(plan: SubscriptionPlan, price: PlanPrice | None) -> str:
    if price is None or plan.kind == SubscriptionPlan.Kind.CONTRACT:
        return ""
    if price.interval == PlanPrice.Interval.YEAR:
        return _("per seat a year") if plan.per_seat else _("a year")
    return _("per seat a month") if plan.per_seat else _("a month")


def _seats(plan: SubscriptionPlan, standing: Standing) -> Seats:
    """Suggests one for everybody who is in already."""
    wished = max(plan.min_seats, standing.members)
    most = plan.max_seats
    return Seats(
        least=plan.min_seats, most=most, suggested=wished if most is None else min(wished, most)
    )


def _groups(
    catalog: Catalog, plans: list[SubscriptionPlan], currency: str
) -> Iterable[table.Group]:
    """The catalogue's table, without the plans that this organization cannot have."""
    shown = [plan.key for plan in plans]
    for group in table.groups(catalog, currency):
        yield replace(group, rows=tuple(_row(row, shown) for row in group.rows))


def _row(row: table.Row, shown: list[str]) -> table.Row:
    cells = {cell.plan: cell for cell in row.cells}
    return replace(row, cells=tuple(cells[key] for key in shown))


def _on_sale(plan: SubscriptionPlan) -> list[PlanPrice]:
    return [price for price in plan.prices.all() if price.archived_at is None]


def _price(plan: SubscriptionPlan, terms: Terms) -> PlanPrice | None:
    for price in _on_sale(plan):
        if (price.interval, price.currency) == (terms.interval, terms.currency):
            return price
    return None
