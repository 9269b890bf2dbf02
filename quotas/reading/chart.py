"""The cumulative chart of one meter, as coordinates of an SVG and as the table below it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from math import ceil

from babel.dates import format_date, format_skeleton
from django.utils import timezone

from billing.catalog.amounts import format_amount
from billing.catalog.money import babel_locale
from billing.catalog.schema import Meter
from quotas.engine.periods import Period

WIDTH, HEIGHT = 1000, 400
STEPS = 4
_NICE = (1, 2, 2.5, 5, 10)
# A limit more than so many times what is used or foretold would press the line to the floor.
_FAR = 4
_SCALES = {"bytes": 1024, "duration": 60}
_HOURS = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What the chart is drawn from. `changes` are net amounts per local day, oldest first."""

    meter: Meter
    window: Period
    at: datetime  # the end of what is known
    begins: int  # the value at the window's start
    used: int  # the value at `at`
    changes: list[tuple[datetime, int]]
    limit: int | None
    projected: int | None
    zone: tzinfo
    monthly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    day: str
    amount: str
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Coordinates are numbers in a box of WIDTH by HEIGHT; texts are in the active language."""

    line: str
    area: str
    today: str
    cap: str | None
    dash: str
    y_labels: tuple[str, ...]
    x_labels: tuple[str, ...]
    grid: str
    rows: tuple[Row, ...]
    is_empty: bool  # nothing was used, and of a level nothing stood there from before


def draw(drawing: Drawing) -> Chart:
    totals = list(_totals(drawing))
    top = _top(drawing, max([drawing.used, drawing.begins, *(total for _, total in totals)]))
    points = [_point(drawing.window, at, total, top) for at, total in totals]
    last_x = points[-1][0]
    dash = ""
    if drawing.projected is not None:
        ends = [(last_x, points[-1][1]), (WIDTH, _y(drawing.projected, top))]
        dash = _polyline(ends)
    shows_limit = drawing.limit is not None and 0 < drawing.limit <= top
    rows = tuple(_rows(drawing))
    return Chart(
        line=_polyline(points),
        area=f"0,{HEIGHT} {_polyline(points)} {_number(last_x)},{HEIGHT}",
        today=_number(last_x) if drawing.at < drawing.window.end else "",
        cap=_number(_y(drawing.limit or 0, top)) if shows_limit else None,
        dash=dash,
        y_labels=tuple(
            format_amount(top * step // STEPS, drawing.meter) for step in range(STEPS, -1, -1)
        ),
        x_labels=_x_labels(drawing),
        grid=" ".join(f"M0 {HEIGHT * step // STEPS}H{WIDTH}" for step in range(STEPS + 1)),
        rows=rows,
        is_empty=not rows and not drawing.begins,
    )


def _totals(drawing: Drawing) -> Iterable[tuple[datetime, int]]:
    """The running total at the end of each day, then what is used now."""
    total = drawing.begins
    yield drawing.window.start, total
    for day, net in drawing.changes:
        begins = max(day, drawing.window.start)
        if begins > drawing.window.start:
            yield begins, total  # flat since the last day with usage
        total += net
        end = _end_of(day, monthly=drawing.monthly)
        if end < drawing.at:
            yield end, total
    yield drawing.at, drawing.used


def _end_of(day: datetime, *, monthly: bool) -> datetime:
    later = day.replace(day=28) + timedelta(days=4) if monthly else day
    if monthly:
        return later.replace(day=1)
    return day + timedelta(days=1)


def _point(window: Period, at: datetime, total: int, top: int) -> tuple[float, float]:
    share = (at - window.start) / (window.end - window.start)
    return WIDTH * min(max(share, 0.0), 1.0), _y(total, top)


def _y(amount: int, top: int) -> float:
    return HEIGHT - HEIGHT * min(max(amount / top, 0.0), 1.0)


def _top(drawing: Drawing, highest: int) -> int:
    """The value of the uppermost grid line: a round number in the unit that people read."""
    seen = max(highest, drawing.projected or 0)
    if drawing.limit and (not seen or drawing.limit <= seen * _FAR):
        seen = max(seen, drawing.limit)
    unit, base = 1, _SCALES.get(drawing.meter.display, 1)
    while base > 1 and seen >= unit * base:
        unit *= base
    wanted = max(seen, 1) / unit / STEPS
    power = 1.0
    while power * _NICE[-1] < wanted:
        power *= 10
    while unit > 1 and power > wanted:
        power /= 10
    step = next(nice * power for nice in _NICE if nice * power >= wanted)
    return ceil(step * unit) * STEPS  # or "7" would stand at the line of 7.5


def _x_labels(drawing: Drawing) -> tuple[str, ...]:
    start, length = drawing.window.start, drawing.window.end - drawing.window.start
    skeleton = "Hm" if length <= _HOURS else "yMMM" if drawing.monthly else "MMMd"
    last = timedelta(microseconds=1)  # a period's last day is the one before its end
    labels = []
    for quarter in range(STEPS + 1):
        at = start + length * quarter / STEPS - (last if quarter == STEPS else timedelta())
        local = timezone.localtime(at, drawing.zone)
        labels.append(format_skeleton(skeleton, local, locale=babel_locale()))
    return tuple(labels)


def _rows(drawing: Drawing) -> Iterable[Row]:
    """Newest first."""
    total = drawing.begins
    rows = []
    for day, net in drawing.changes:
        total += net
        local = timezone.localtime(day, drawing.zone)
        named = (
            format_skeleton("yMMMM", local, locale=babel_locale())
            if drawing.monthly
            else format_date(local, format="medium", locale=babel_locale())
        )
        rows.append(
            Row(day=named, amount=_signed(net, drawing.meter), total=_signed(total, drawing.meter))
        )
    return reversed(rows)


def _signed(amount: int, meter: Meter) -> str:
    shown = format_amount(abs(amount), meter)
    return f"\N{MINUS SIGN}{shown}" if amount < 0 else shown


def _polyline(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """With a point, whatever the language: SVG reads no comma as a decimal."""
    return f"{value:.1f}"
