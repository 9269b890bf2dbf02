"""Dates, spans and countdowns in the reader's language and the active time zone."""

from datetime import datetime, timedelta

from babel.dates import format_date, format_skeleton, get_timezone_gmt
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from billing.catalog.money import babel_locale


def day(instant: datetime) -> str:
    return format_date(timezone.localtime(instant), format="medium", locale=babel_locale())


def moment(instant: datetime) -> str:
    """With the distance from GMT: a deadline without one is a guess."""
    local = timezone.localtime(instant)
    locale = babel_locale()
    date = format_skeleton("MMMd", local, locale=locale)
    zone = get_timezone_gmt(local, width="long", locale=locale)
    return f"{date}, {local:%H:%M} {zone}"


def span(start: datetime, end: datetime) -> str:
    """A half-open period as people read it: its last day is the one before `end`."""
    last = max(start, end - timedelta(microseconds=1))
    return gettext("%(first)s to %(last)s") % {"first": day(start), "last": day(last)}


def time_left(until: datetime, now: datetime) -> str:
    """The two largest units, rounded down: Babel would call 43 hours two days."""
    minutes = max(0, int((until - now).total_seconds() // 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    shown = (_days(days), _hours(hours)) if days else (_hours(hours), _minutes(minutes))
    return " ".join(part for part in shown if part) or gettext("less than a minute")


def _days(n: int) -> str:
    return ngettext("%(n)d day", "%(n)d days", n) % {"n": n}


def _hours(n: int) -> str:
    return ngettext("%(n)d hour", "%(n)d hours", n) % {"n": n} if n else ""


def _minutes(n: int) -> str:
    return ngettext("%(n)d minute", "%(n)d minutes", n) % {"n": n} if n else ""
