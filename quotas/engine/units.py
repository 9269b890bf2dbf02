"""Amounts of usage as people read them."""

from decimal import Decimal
from typing import Literal

from babel.numbers import format_decimal

from billing.catalog.money import babel_locale

Display = Literal["count", "bytes", "duration", "millicores"]

_BYTES = ("B", "KB", "MB", "GB", "TB", "PB")  # powers of 1,024, as the documents mean them
_STEP = 1024
_MINUTE = 60
_HOUR = 3600
_MILLI = 1000


def shown(amount: int, display: Display = "count") -> str:
    """Rounded to one decimal where a unit is larger than one of the meter's own."""
    match display:
        case "bytes":
            return _bytes(amount)
        case "duration":
            return _duration(amount)
        case "millicores":
            return f"{_number(Decimal(amount) / _MILLI)} vCPU"
        case "count":
            return _number(Decimal(amount))


def _bytes(amount: int) -> str:
    value, unit = Decimal(amount), 0
    while abs(value) >= _STEP and unit < len(_BYTES) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{_number(value)} {_BYTES[unit]}"


def _duration(seconds: int) -> str:
    if abs(seconds) >= _HOUR:
        return f"{_number(Decimal(seconds) / _HOUR)} h"
    if abs(seconds) >= _MINUTE:
        return f"{_number(Decimal(seconds) / _MINUTE)} min"
    return f"{_number(Decimal(seconds))} s"


def _number(value: Decimal) -> str:
    return str(format_decimal(value, format="#,##0.#", locale=babel_locale()))
