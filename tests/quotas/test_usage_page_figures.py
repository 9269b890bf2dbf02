"""The pure parts of the Usage page: projections, the chart's coordinates, the banner's choice."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.utils import translation

from billing import catalog
from quotas.engine.periods import Period
from quotas.reading import chart, projection
from quotas.reading.chart import Drawing

START = datetime(2026, 11, 4, tzinfo=UTC)
MONTH = Period(START, START + timedelta(days=30))
GB = 2**30


@pytest.fixture(autouse=True)
def in_english():
    """Whatever language another test's request left behind."""
    with translation.override("en"):
        yield


def after(days):
    return START + timedelta(days=days)


# --- Projections ------------------------------------------------------------------------------


def test_a_flow_keeps_the_pace_of_its_period():
    found = projection.of_flow(42_180, MONTH, after(17), limit=50_000)

    assert found.amount == 74_436
    assert found.reached_at.date().isoformat() == "2026-11-24"


def test_a_flow_below_its_limit_never_reaches_it():
    found = projection.of_flow(10, MONTH, after(15), limit=50_000)

    assert (found.amount, found.reached_at) == (20, None)


@pytest.mark.parametrize("days", [0, 0.5, 30, 31])
def test_too_early_and_too_late_nothing_is_foretold(days):
    assert projection.of_flow(10, MONTH, after(days), limit=50) is None


def test_what_is_past_its_limit_does_not_reach_it_again():
    found = projection.of_flow(60, MONTH, after(10), limit=50)

    assert (found.amount, found.reached_at) == (180, None)


def test_a_level_keeps_the_pace_of_its_week():
    week = timedelta(days=7)

    found = projection.of_level(92 * GB, 7 * GB, week, after(30), after(16), limit=100 * GB)

    assert found.amount == 106 * GB
    assert found.reached_at == after(24)


def test_a_level_that_shrinks_ends_at_nothing_at_least():
    found = projection.of_level(5, -70, timedelta(days=7), after(30), after(16), limit=10)

    assert (found.amount, found.reached_at) == (0, None)


# --- The chart --------------------------------------------------------------------------------


def drawing(**changes):
    values = {
        "meter": catalog.current().meters["ai_queries"],
        "window": MONTH,
        "at": after(15),
        "begins": 0,
        "used": 600,
        "changes": [(after(0), 100), (after(4), 200), (after(14), 300)],
        "limit": 1000,
        "projected": 1200,
        "zone": UTC,
    }
    return Drawing(**values | changes)


def points_of(line):
    return [tuple(map(float, point.split(","))) for point in line.split()]


def test_the_line_is_flat_between_days_of_use_and_ends_today():
    drawn = chart.draw(drawing())

    points = points_of(drawn.line)

    assert points[0] == (0, 400)
    assert points[-1] == (500.0, 280.0)  # half of the month, 600 of the scale's 2,000
    assert drawn.today == "500.0"
    assert all(first[1] >= second[1] for first, second in pairwise(points))


def test_the_scale_is_round_and_holds_line_limit_and_projection():
    drawn = chart.draw(drawing())

    assert drawn.y_labels == ("2,000", "1,500", "1,000", "500", "0")
    assert drawn.cap == "200.0"
    assert points_of(drawn.dash)[-1] == (1000.0, 160.0)


def test_sizes_have_round_steps_in_their_own_unit():
    storage = catalog.current().meters["storage"]

    drawn = chart.draw(
        drawing(
            meter=storage, used=92 * GB, limit=100 * GB, projected=None, changes=[(after(0), GB)]
        )
    )

    assert drawn.y_labels == ("100 GB", "75 GB", "50 GB", "25 GB", "0 B")


def test_a_limit_far_above_does_not_press_the_line_to_the_floor():
    drawn = chart.draw(drawing(limit=1_000_000, projected=None))

    assert drawn.cap is None
    assert drawn.y_labels[0] == "800"


def test_a_chart_of_a_finished_period_has_no_today():
    drawn = chart.draw(drawing(at=MONTH.end, projected=None))

    assert drawn.today == ""
    assert points_of(drawn.line)[-1][0] == 1000.0


def test_the_table_lists_the_days_newest_first_with_their_totals():
    drawn = chart.draw(drawing())

    assert [(row.day, row.amount, row.total) for row in drawn.rows] == [
        ("Nov 18, 2026", "300", "600"),
        ("Nov 8, 2026", "200", "300"),
        ("Nov 4, 2026", "100", "100"),
    ]


def test_a_day_that_gave_back_more_than_it_took_is_negative():
    drawn = chart.draw(drawing(begins=500, changes=[(after(1), -200)], used=300))

    assert (drawn.rows[0].amount, drawn.rows[0].total) == ("\N{MINUS SIGN}200", "300")


def test_lines_of_things_that_are_counted_stand_at_whole_numbers():
    drawn = chart.draw(drawing(limit=10, projected=8, changes=[(after(1), 3)], used=3))

    assert drawn.y_labels == ("12", "9", "6", "3", "0")


def test_what_stands_since_before_the_period_is_drawn_though_nothing_moved():
    assert not chart.draw(drawing(begins=500, changes=[], used=500)).is_empty
    assert chart.draw(drawing(begins=0, changes=[], used=0)).is_empty
