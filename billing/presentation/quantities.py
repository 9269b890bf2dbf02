"""Amounts of usage as people read them: 2 GB, 50 hours, 1,500."""

from babel.numbers import format_decimal
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.catalog.money import babel_locale

_HOUR = 3600
_SIZES = (("TB", 2**40), ("GB", 2**30), ("MB", 2**20), ("KB", 2**10))


def quantity(amount: int | None, display: str = "count") -> str:
    """None is unlimited. The documents' MB and GB are 2^20 and 2^30."""
    if amount is None:
        return _("Unlimited")
    if display == "bytes":
        return _bytes(amount)
    if display == "duration":
        return _duration(amount)
    if display == "millicores":
        return _("%(n)s vCPU") % {"n": number(amount / 1000)}
    return number(amount)


def number(value: float) -> str:
    """Grouped as the reader's language does it, with two decimals at most."""
    return format_decimal(round(value, 2), locale=babel_locale())


def _bytes(amount: int) -> str:
    for unit, size in _SIZES:
        if amount >= size:
            return f"{format_decimal(round(amount / size, 1), locale=babel_locale())} {unit}"
    return f"{number(amount)} B"


def _duration(seconds: int) -> str:
    if seconds >= _HOUR:
        n = seconds / _HOUR
        return ngettext("%(n)s hour", "%(n)s hours", round(n)) % {"n": number(n)}
    n = seconds / 60
    return ngettext("%(n)s minute", "%(n)s minutes", round(n)) % {"n": number(n)}
