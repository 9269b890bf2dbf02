"""The plan table: which rows it has and what each cell says, in one currency and language."""

from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext as _
from django.utils.translation import override

from billing.catalog.amounts import format_amount, format_count
from billing.catalog.money import format_rate
from billing.catalog.schema import Catalog, Limit, Meter


@dataclass(frozen=True, kw_only=True)
class Cell:
    plan: str
    state: Literal["included", "planned", "absent"]
    # Empty where the state says it all: a tick, a dash.
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    key: str
    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    name: str
    rows: tuple[Row, ...]


def groups(catalog: Catalog, currency: str, locale: str | None = None) -> tuple[Group, ...]:
    """Rates are shown in the given currency; without a locale the active language speaks."""
    if locale is not None:
        with override(locale):
            return groups(catalog, currency)
    return tuple(
        Group(
            name=str(group.name),
            rows=tuple(_row(catalog, key, currency) for key in group.rows),
        )
        for group in catalog.matrix
    )


def _row(catalog: Catalog, key: str, currency: str) -> Row:
    if key in catalog.meters:
        return _meter_row(catalog, key, currency)
    return _feature_row(catalog, key)


def _meter_row(catalog: Catalog, key: str, currency: str) -> Row:
    meter = catalog.meters[key]
    cells = (
        _limit_cell(plan, entry.limits[key], meter, currency)
        for plan, entry in catalog.plans.items()
    )
    return Row(key=key, name=_meter_name(meter), cells=tuple(cells))


def _meter_name(meter: Meter) -> str:
    if meter.reset in ("billing_period", "invoice_paid", "calendar_month"):
        return _("%(meter)s a month") % {"meter": meter.name}
    return str(meter.name)


def _limit_cell(plan: str, limit: Limit, meter: Meter, currency: str) -> Cell:
    if meter.state == "planned":
        return Cell(plan=plan, state="planned")
    if limit.amount == 0:
        return Cell(plan=plan, state="absent")
    return Cell(plan=plan, state="included", text=_limit_text(limit, meter, currency))


def _limit_text(limit: Limit, meter: Meter, currency: str) -> str:
    if limit.text is not None:
        return str(limit.text)
    amount = format_amount(limit.amount, meter)
    if limit.amount is None:
        return amount
    if limit.per == "seat":
        return _("%(amount)s per seat") % {"amount": amount}
    if limit.overage is not None:
        return _("%(amount)s, then %(rate)s per %(units)s") % {
            "amount": amount,
            "rate": format_rate(limit.overage.rates[currency], currency),
            "units": format_count(limit.overage.per),
        }
    if limit.hard and meter.kind == "flow":
        return _("%(amount)s, then stop") % {"amount": amount}
    return amount


def _feature_row(catalog: Catalog, key: str) -> Row:
    feature = catalog.features[key]
    cells = (_feature_cell(catalog, plan, key) for plan in catalog.plans)
    return Row(key=key, name=str(feature.name), cells=tuple(cells))


def _feature_cell(catalog: Catalog, plan: str, key: str) -> Cell:
    found = catalog.plan_features(plan).get(key)
    if found is None:
        return Cell(plan=plan, state="absent")
    if catalog.features[key].state == "planned":
        return Cell(plan=plan, state="planned")
    return Cell(plan=plan, state="included", text=str(found.text) if found.text else "")
