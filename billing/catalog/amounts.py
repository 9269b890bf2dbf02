"""Amounts of usage as people read them. None is unlimited."""

from decimal import Decimal

from babel.numbers import format_decimal
from django.utils.translation import gettext as _

from billing.catalog.money import babel_locale
from billing.catalog.schema import Meter

_SIZES = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "KB"))  # the documents' units
_DURATIONS = ((3600, "h"), (60, "min"))


def format_amount(amount: int | None, meter: Meter, locale: str | None = None) -> str:
    if amount is None:
        return _("Unlimited")
    match meter.display:
        case "bytes":
            return _scaled(amount, _SIZES, "B", locale)
        case "duration":
            return _scaled(amount, _DURATIONS, "s", locale)
        case "millicores":
            return _scaled(amount, ((1000, "vCPU"),), "millicores", locale)
        case "count":
            return format_count(amount, locale)


def format_count(amount: int, locale: str | None = None) -> str:
    return str(format_decimal(amount, locale=babel_locale(locale)))


def _scaled(
    amount: int, units: tuple[tuple[int, str], ...], smallest: str, locale: str | None
) -> str:
    """At most one decimal, rounded down: "100 GB" must not be shown before it is reached."""
    for size, unit in units:
        if amount >= size:
            tenths = amount * 10 // size
            return f"{_decimal(Decimal(tenths) / 10, locale)} {unit}"
    return f"{_decimal(Decimal(amount), locale)} {smallest}"


def _decimal(value: Decimal, locale: str | None) -> str:
    return str(format_decimal(value, format="#,##0.#", locale=babel_locale(locale)))
