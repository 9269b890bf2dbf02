"""Usage periods, in Python and in PostgreSQL."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from quotas.engine.periods import ALWAYS, add_months, is_anchored, period_at
from quotas.models import PeriodRule

BOUNDS = (datetime(1999, 1, 1, tzinfo=UTC), datetime(2101, 12, 31, tzinfo=UTC))


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("anchor", "moment", "start", "end"),
    [
        ("2026-01-31T09:30", "2026-02-28T09:29:59", "2026-01-31T09:30", "2026-02-28T09:30"),
        ("2026-01-31T09:30", "2026-02-28T09:30", "2026-02-28T09:30", "2026-03-31T09:30"),
        ("2026-01-31T09:30", "2026-04-01T00:00", "2026-03-31T09:30", "2026-04-30T09:30"),
        ("2024-01-31T00:00", "2024-02-29T00:00", "2024-02-29T00:00", "2024-03-31T00:00"),
        ("2024-02-29T00:00", "2025-02-28T00:00", "2025-02-28T00:00", "2025-03-29T00:00"),
        ("2100-01-31T00:00", "2100-03-01T00:00", "2100-02-28T00:00", "2100-03-31T00:00"),
        ("2026-12-15T12:00", "2027-01-15T11:59", "2026-12-15T12:00", "2027-01-15T12:00"),
        ("2026-05-31T00:00", "2026-05-01T00:00", "2026-04-30T00:00", "2026-05-31T00:00"),
    ],
)
def test_a_billing_period_clamps_to_the_month_and_returns(anchor, moment, start, end):
    period = period_at(PeriodRule.BILLING, at(anchor), at(moment))

    assert period == (at(start), at(end))


@pytest.mark.parametrize("day", range(1, 32))
def test_billing_periods_tile_a_century_without_gap_or_overlap(day):
    anchor = datetime(1999, 1, day, 23, 59, 59, 999_999, tzinfo=UTC)
    period = period_at(PeriodRule.BILLING, anchor, anchor)
    months = 0

    while period.end < BOUNDS[1]:
        following = period_at(PeriodRule.BILLING, anchor, period.end)
        last = period_at(PeriodRule.BILLING, anchor, period.end - timedelta(microseconds=1))
        assert last == period
        assert following.start == period.end
        period, months = following, months + 1

    assert months == 103 * 12 - 2 or months == 103 * 12 - 1


@pytest.mark.parametrize(
    ("rule", "start", "end"),
    [
        (PeriodRule.MONTH, "2026-02-01T00:00", "2026-03-01T00:00"),
        (PeriodRule.DAY, "2026-02-28T00:00", "2026-03-01T00:00"),
        (PeriodRule.HOUR, "2026-02-28T23:00", "2026-03-01T00:00"),
    ],
)
def test_calendar_periods_begin_on_the_full_unit(rule, start, end):
    period = period_at(rule, at("2020-05-05T05:05"), at("2026-02-28T23:59:59"))

    assert period == (at(start), at(end))


@pytest.mark.parametrize("rule", [PeriodRule.MONTH, PeriodRule.DAY, PeriodRule.HOUR])
def test_calendar_periods_begin_on_the_very_microsecond(rule):
    moment = datetime(2026, 11, 20, 13, 45, 12, 345_678, tzinfo=UTC)

    assert period_at(rule, moment, moment).start.microsecond == 0


def test_what_never_resets_has_one_period():
    assert period_at(PeriodRule.NEVER, at("2026-01-01T00:00"), at("2077-01-01T00:00")) == ALWAYS


def test_periods_are_in_utc_whatever_the_zone_of_the_instant():
    hanoi = datetime.fromisoformat("2026-03-01T05:00:00+07:00")

    period = period_at(PeriodRule.DAY, hanoi, hanoi)

    assert period.start == at("2026-02-28T00:00")


def test_a_paid_period_stays_open_until_the_next_is_paid():
    anchor, paid_until = at("2026-01-31T00:00"), at("2026-02-28T00:00")

    unpaid = period_at(PeriodRule.PAID, anchor, at("2026-03-05T00:00"), paid_until)
    paid = period_at(PeriodRule.PAID, anchor, at("2026-03-05T00:00"), at("2026-03-31T00:00"))

    assert unpaid.start == at("2026-01-31T00:00")
    assert at("2026-03-05T00:00") in unpaid
    assert paid.start == at("2026-02-28T00:00")


def test_until_it_is_paid_no_period_ends_and_then_they_are_the_calendars():
    """Before the end that is paid for, and where nothing is known to be paid: as by the month."""
    anchor, end = at("2026-01-31T00:00"), at("2026-02-28T00:00")
    instant = timedelta(microseconds=1)

    assert period_at(PeriodRule.PAID, anchor, end - instant, end) == (anchor, end)
    assert period_at(PeriodRule.PAID, anchor, end) == (end, at("2026-03-31T00:00"))
    # At the very end the next period is owed: the last paid one goes on.
    assert period_at(PeriodRule.PAID, anchor, end, end) == (anchor, at("2026-03-31T00:00"))
    # What is paid ends with the instant before: a microsecond more pays the next period.
    further = end + instant
    assert period_at(PeriodRule.PAID, anchor, further, further).start == end


def test_a_period_holds_its_start_and_not_its_end_and_nothing_but_instants():
    period = period_at(PeriodRule.DAY, at("2026-02-28T00:00"), at("2026-02-28T12:00"))

    assert period.start in period
    assert period.end - timedelta(microseconds=1) in period
    assert period.end not in period
    assert "2026-02-28" not in period


@pytest.fixture
def machine_in_the_east(monkeypatch):
    """Its local time is not UTC, as Django's process has it."""
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    yield ZoneInfo("Asia/Ho_Chi_Minh")
    monkeypatch.undo()
    time.tzset()


def test_zones_of_machine_anchor_start_and_payment_change_nothing(machine_in_the_east):
    """The same instants as a zone east of Greenwich writes them, on another day of the month."""
    east = machine_in_the_east
    anchor, start = at("2026-01-31T20:00"), at("2026-02-28T20:00")

    assert is_anchored(anchor.astimezone(east), start.astimezone(east))
    by_east = period_at(
        PeriodRule.PAID, anchor.astimezone(east), at("2026-03-05T00:00"), start.astimezone(east)
    )
    assert by_east == (anchor, at("2026-03-31T20:00"))


def test_an_anchor_explains_only_its_own_starts():
    anchor = at("2026-01-31T00:00")

    assert is_anchored(anchor, at("2026-02-28T00:00"))
    assert not is_anchored(anchor, at("2026-02-27T00:00"))
    assert not is_anchored(at("2026-02-28T00:00"), at("2026-03-31T00:00"))


@pytest.mark.django_db
@pytest.mark.parametrize("rule", PeriodRule)
def test_postgresql_has_the_same_periods(rule):
    anchors = [
        datetime(year, month, day, 9, 30, 0, 1, tzinfo=UTC)
        for year, month, day in [(1999, 1, 31), (2000, 2, 29), (2026, 12, 31), (2099, 3, 30)]
    ]
    moments = [
        moment + shift
        for months in range(0, 103 * 12, 7)
        for moment in [add_months(datetime(1999, 1, 31, 9, 30, 0, 1, tzinfo=UTC), months)]
        for shift in (timedelta(0), -timedelta(microseconds=1), timedelta(days=3))
    ]
    paid_until = datetime(2030, 6, 15, tzinfo=UTC)
    cases = [(anchor, moment) for anchor in anchors for moment in moments]

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'Asia/Ho_Chi_Minh'")
        cursor.execute(
            "SELECT p.starts AT TIME ZONE 'UTC', p.ends AT TIME ZONE 'UTC'"
            " FROM unnest(%s::timestamptz[], %s::timestamptz[])"
            " WITH ORDINALITY AS t(anchor, moment, ord)"
            " CROSS JOIN LATERAL usage_period(%s, t.anchor, t.moment, %s) p ORDER BY t.ord",
            [[case[0] for case in cases], [case[1] for case in cases], rule.value, paid_until],
        )
        rows = cursor.fetchall()

    expected = [period_at(rule, *case, paid_until) for case in cases]
    assert rows == [tuple(bound.replace(tzinfo=None) for bound in period) for period in expected]
