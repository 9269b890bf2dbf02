"""Usage periods: half-open, in UTC, pure. `sql/usage_period.sql` says the same to PostgreSQL."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, assert_never

from quotas.models import PeriodRule

MONTHS = 12


class Period(NamedTuple):
    """From `start` up to, but not including, `end`."""

    start: datetime
    end: datetime

    def __contains__(self, at: object) -> bool:
        return isinstance(at, datetime) and self.start <= at < self.end


# The period of what never resets. PostgreSQL's infinity has no Python datetime.
ALWAYS = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))


def period_at(
    rule: PeriodRule, anchor: datetime, at: datetime, paid_until: datetime | None = None
) -> Period:
    """The period that holds `at`. `anchor` matters to `billing` and `paid` alone.

    A `paid` period stays open past its end until the next one is paid.
    """
    at = at.astimezone(UTC)
    match rule:
        case PeriodRule.BILLING:
            return _anchored(anchor.astimezone(UTC), at)
        case PeriodRule.PAID:
            return _paid(anchor.astimezone(UTC), at, paid_until)
        case PeriodRule.MONTH:
            return _anchored(at.replace(day=1, hour=0, minute=0, second=0, microsecond=0), at)
        case PeriodRule.DAY:
            start = at.replace(hour=0, minute=0, second=0, microsecond=0)
            return Period(start, start + timedelta(days=1))
        case PeriodRule.HOUR:
            start = at.replace(minute=0, second=0, microsecond=0)
            return Period(start, start + timedelta(hours=1))
        case PeriodRule.NEVER:
            return ALWAYS
        case _:
            assert_never(rule)


def add_months(anchor: datetime, months: int) -> datetime:
    """Clamps to the month's last day and, counted from the same anchor, returns to its own."""
    year, month = divmod(anchor.year * MONTHS + anchor.month - 1 + months, MONTHS)
    last = calendar.monthrange(year, month + 1)[1]
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, last))


def is_anchored(anchor: datetime, start: datetime) -> bool:
    """Whether a month that is counted from `anchor` begins exactly at `start`."""
    return _anchored(anchor.astimezone(UTC), start.astimezone(UTC)).start == start


def _anchored(anchor: datetime, at: datetime) -> Period:
    months = (at.year - anchor.year) * MONTHS + at.month - anchor.month
    if add_months(anchor, months) > at:
        months -= 1
    return Period(add_months(anchor, months), add_months(anchor, months + 1))


def _paid(anchor: datetime, at: datetime, paid_until: datetime | None) -> Period:
    if paid_until is None or at < paid_until:
        return _anchored(anchor, at)
    last_paid = _anchored(anchor, paid_until.astimezone(UTC) - timedelta(microseconds=1))
    return Period(last_paid.start, _anchored(anchor, at).end)
