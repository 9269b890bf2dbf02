"""All that the Usage page shows, for one reader and what they chose."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.catalog.amounts import format_amount
from billing.catalog.money import format_money
from billing.catalog.schema import Meter
from billing.presentation.formats import moment, span, time_left
from orgs.models import Membership, Organization
from quotas.engine.periods import Period
from quotas.models import Kind
from quotas.reading import breakdown, cards, chart, history, rollups, usage
from quotas.reading.chart import Chart, Drawing
from quotas.reading.usage import Usage, UsageReading

CURRENT = "current"
YEAR = "year"
_COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the reader asked for, as the query says; nonsense means the default."""

    period: str = CURRENT
    meter: str = ""
    by: str = "member"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Choice":
        return cls(
            period=query.get("period", CURRENT),
            meter=query.get("meter", ""),
            by=query.get("by", "member"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table: `name` uses these amounts."""

    name: str
    share: int
    amounts: tuple[str, ...]
    last_active: str


class UsagePage:
    """Lazy, so that the fragment pays for the cards alone. Texts need the active time zone."""

    def __init__(
        self, organization: Organization, membership: Membership, choice: Choice, *, whole: bool
    ) -> None:
        self.organization = organization
        self.membership = membership
        self.choice = choice
        self.whole = whole  # False: the reader's own share alone

    @cached_property
    def usage(self) -> Usage:
        return usage.of(self.organization)

    # --- The head -----------------------------------------------------------------------------

    @cached_property
    def past(self) -> list[Period]:
        return history.periods(self.organization, self.usage.period)

    @cached_property
    def window(self) -> Period:
        if self.choice.period == CURRENT:
            return self.usage.period
        if self.choice.period == YEAR:
            return history.last_year(self.usage)
        for period in self.past:
            if _value(period) == self.choice.period:
                return period
        return self.usage.period

    @property
    def is_current(self) -> bool:
        return self.window == self.usage.period

    @property
    def is_year(self) -> bool:
        return not self.is_current and self.choice.period == YEAR

    @property
    def span(self) -> str:
        return span(*self.window)

    @cached_property
    def periods(self) -> list[Option]:
        chosen = YEAR if self.is_year else CURRENT if self.is_current else self.choice.period
        named = [(CURRENT, _("Current period"))]
        named += [(_value(period), span(*period)) for period in self.past]
        named.append((YEAR, _("Last 12 months")))
        return [Option(value=value, label=label, chosen=value == chosen) for value, label in named]

    @cached_property
    def updated_at(self) -> datetime | None:
        return rollups.updated_at()

    @cached_property
    def seconds_old(self) -> int:
        if self.updated_at is None:
            return 0
        return max(int((timezone.now() - self.updated_at).total_seconds()), 0)

    @cached_property
    def facts(self) -> list[Fact]:
        return list(_facts(self.usage)) if self.is_current and self.whole else []

    # --- The cards ----------------------------------------------------------------------------

    @cached_property
    def cards(self) -> list[cards.Card]:
        if not self.is_current:
            return [cards.of_past(each) for each in history.of_period(self.usage, self.window)]
        return cards.of(self.usage, None if self.whole else self.own)

    @cached_property
    def own(self) -> dict[str, int]:
        """By either id that a satellite may know the reader by."""
        found: dict[str, int] = {}
        for name in (str(self.membership.pk), str(self.membership.user_id)):
            for meter, amount in breakdown.own(self.organization, name, self.window).items():
                found[meter] = found.get(meter, 0) + amount
        return found

    @property
    def is_empty(self) -> bool:
        return not any(reading.used for reading in self.usage.readings if reading.kind != Kind.ROWS)

    # --- The chart ----------------------------------------------------------------------------

    @cached_property
    def charted(self) -> list[UsageReading]:
        """What changes over time: levels and flows."""
        return [
            reading for reading in self.usage.readings if reading.kind in {Kind.LEVEL, Kind.FLOW}
        ]

    @cached_property
    def leading(self) -> UsageReading | None:
        """The chosen meter, else the flow that is nearest to its limit, else any."""
        for reading in self.charted:
            if reading.key == self.choice.meter:
                return reading
        return max(self.charted, key=_interest, default=None)

    @cached_property
    def meters(self) -> list[Option]:
        leading = self.leading
        return [
            Option(
                value=reading.key,
                label=str(reading.meter.name),
                chosen=leading is not None and reading.key == leading.key,
            )
            for reading in self.charted
        ]

    @cached_property
    def chart(self) -> Chart | None:
        reading = self.leading
        if reading is None:
            return None
        found = chart.draw(self._drawing(reading))
        return None if found.is_empty else found

    @cached_property
    def legend(self) -> dict[str, str]:
        """What the lines mean, in words, and when they cross."""
        reading = self.leading
        if reading is None:
            return {}
        drawing = self._drawing(reading)
        ahead = reading.projection if self.is_current else None
        reached = ahead.reached_at if ahead is not None else None
        return {
            "used": format_amount(drawing.used, reading.meter),
            "projected": _shown(drawing.projected, reading.meter),
            "limit": _shown(drawing.limit, reading.meter),
            "reached": cards.day(reached) if reached is not None else "",
        }

    def _drawing(self, reading: UsageReading) -> Drawing:
        zone = ZoneInfo(self.organization.time_zone)
        changes = self._changes
        net = sum(amount for _day, amount in changes)
        is_flow = reading.kind == Kind.FLOW
        own_period = is_flow and reading.period == self.usage.period and self.is_current
        live = self.is_current and (own_period or not is_flow)
        used = reading.used if live else net
        begins = 0 if is_flow else max(reading.used - net, 0)
        ahead = reading.projection if live and not reading.is_full else None
        return Drawing(
            meter=reading.meter,
            window=self.window,
            at=min(self.usage.at, self.window.end),
            begins=begins,
            used=used if is_flow or live else begins + net,
            changes=changes,
            limit=reading.limit if live and not reading.per_member else None,
            projected=ahead.amount if ahead is not None else None,
            zone=zone,
            monthly=self.is_year,
        )

    @cached_property
    def _changes(self) -> list[tuple[datetime, int]]:
        reading = self.leading
        if reading is None:
            return []
        zone = ZoneInfo(self.organization.time_zone)
        return history.changes(
            self.organization, reading.key, self.window, zone, monthly=self.is_year
        )

    # --- Who uses what ------------------------------------------------------------------------

    @cached_property
    def groupings(self) -> list[Option]:
        named = [("member", _("Member")), ("satellite", _("Service"))]
        if self.leading is not None:
            named += [(key, _word(key)) for key in self.leading.meter.dimensions]
        chosen = self.choice.by if self.choice.by in dict(named) else "member"
        return [Option(value=value, label=label, chosen=value == chosen) for value, label in named]

    @cached_property
    def grouping(self) -> Option:
        return next(option for option in self.groupings if option.chosen)

    @cached_property
    def columns(self) -> list[UsageReading]:
        """The leading meter first. A dimension is one meter's own, so it stands alone."""
        if self.leading is None:
            return []
        others = [reading for reading in self.charted if reading.key != self.leading.key]
        alone = self.grouping.value in self.leading.meter.dimensions
        return [self.leading, *(others[: _COLUMNS - 1] if not alone else [])]

    @cached_property
    def lines(self) -> list[Line]:
        if self.leading is None:
            return []
        question = breakdown.Question(
            period=self.window,
            leading=self.leading.key,
            by=self.grouping.value,
            columns=tuple(reading.key for reading in self.columns),
        )
        found = breakdown.of(self.organization, question)
        return [
            Line(
                name=part.name,
                share=min(part.share, usage.FULL),
                amounts=tuple(
                    format_amount(max(amount, 0), reading.meter)
                    for amount, reading in zip(part.amounts, self.columns, strict=True)
                ),
                last_active=cards.day(part.last_active) if part.last_active else "-",
            )
            for part in found.parts
        ]


def _facts(found: Usage) -> Any:
    costs = found.costs
    if costs is not None:
        money = costs.currency
        yield Fact(label=_("Cost so far"), value=format_money(costs.so_far, money))
        yield Fact(label=_("Projected for the period"), value=format_money(costs.projected, money))
        if any(reading.extra is not None for reading in found.readings):
            yield Fact(
                label=_("Extra usage"),
                value=format_money(costs.extra, money),
                note=""
                if costs.extra_cap is None
                else _("of %(cap)s cap") % {"cap": format_money(costs.extra_cap, money)},
            )
    yield Fact(
        label=_("Resets %(moment)s") % {"moment": moment(found.period.end)},
        value=_left(found),
        note=_("left"),
    )


def _left(found: Usage) -> str:
    """Whole days while there are several: the exact moment stands above."""
    days = (found.period.end - found.at).days
    if days > 1:
        return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}
    return time_left(found.period.end, found.at)


def _interest(reading: UsageReading) -> tuple[bool, bool, int]:
    """What has been used, what costs extra, then what is nearest to its limit."""
    return bool(reading.used), reading.extra is not None, reading.percent or 0


def _value(period: Period) -> str:
    return period.start.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _shown(amount: int | None, meter: Meter) -> str:
    return "" if amount is None else format_amount(amount, meter)


def _word(key: str) -> str:
    return key.replace("_", " ").replace("-", " ").capitalize()
