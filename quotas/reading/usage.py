"""What an organization uses now, for pages, API and alerts: figures, prices, projections."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import F, Sum

from billing import catalog
from billing.catalog.money import charge_for
from billing.catalog.schema import Meter
from billing.entitlement.clock import now_for
from billing.entitlement.store import current
from billing.models import EffectivePlan, PlanPrice, Source
from billing.subscription import metering
from orgs.models import Organization
from quotas.engine import billable, ledger, limits, members
from quotas.engine.billable import Accounted
from quotas.engine.decisions import instant
from quotas.engine.periods import Period, period_at
from quotas.engine.readings import Reading
from quotas.exceptions import NothingOnSale
from quotas.models import (
    Balance,
    Enforcement,
    Kind,
    Overage,
    PeriodRule,
    Rollup,
    UsageControl,
    UsageLimit,
)
from quotas.reading import projection
from quotas.reading.projection import Projection

FULL: Final = 100  # percent
_HELD: Final = frozenset({Kind.LEVEL, Kind.ROWS})
_PACE: Final = timedelta(days=7)  # over which the pace of a level is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Overage that is billed. Money is in minor units of `currency`; a cap None is no cap.

    `units` are those of the period that cost: none beyond the cap, none that the owner refused.
    """

    units: int
    currency: str
    rate: Decimal
    per: int
    cap: int | None
    so_far: int
    projected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReading:
    """One meter. `limit` None is unlimited; `member` is set where the figures are one member's."""

    key: str
    meter: Meter
    kind: str
    used: int
    held: int
    limit: int | None
    remaining: int | None
    overage: int
    overage_cap: int | None  # in units
    credits: int
    hard: bool
    overage_policy: str
    per_member: bool
    member: str
    refusal: str
    enforcement: str
    period: Period
    resets_at: datetime | None
    extra: Extra | None = None
    projection: Projection | None = None

    @property
    def percent(self) -> int | None:
        """Of the limit, rounded down; None where there is none to reach."""
        if not self.limit or self.kind == Kind.CEILING:
            return None
        return (self.used + self.held) * FULL // self.limit

    @property
    def is_enforced(self) -> bool:
        return self.enforcement == Enforcement.ENFORCE

    @property
    def is_full(self) -> bool:
        """Whether the next unit is refused for want of room."""
        if not self.is_enforced or self.kind == Kind.CEILING or self.limit is None:
            return False
        if self.remaining:
            return False
        return self.hard or self.is_capped

    @property
    def surplus(self) -> int:
        """Held beyond an enforced limit, as after a downgrade; a flow starts anew by itself."""
        if self.limit is None or not self.is_enforced or self.per_member:
            return 0
        return max(self.used - self.limit, 0) if self.kind in _HELD else 0

    @property
    def is_capped(self) -> bool:
        return self.overage_cap is not None and self.overage >= self.overage_cap > 0

    @property
    def is_over(self) -> bool:
        """Past the included amount of a limit that goes on."""
        return not self.hard and self.limit is not None and self.used > self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Of the usage period, in minor units. `plan` is its fixed part, None where it is not ours."""

    currency: str
    plan: int
    extra: int
    extra_projected: int
    extra_cap: int | None

    @property
    def so_far(self) -> int:
        return self.plan + self.extra

    @property
    def projected(self) -> int:
        return self.plan + self.extra_projected


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Everything about one organization at `at`, its own time. `period` is its usage month."""

    organization: Organization
    effective: EffectivePlan
    at: datetime
    period: Period
    readings: tuple[UsageReading, ...]
    prices: "Mapping[str, Price]"  # of what is billed beyond the included amount
    costs: Costs | None

    def reading(self, key: str) -> UsageReading | None:
        return next((reading for reading in self.readings if reading.key == key), None)


def of(organization: Organization, *, member: str = "") -> Usage:
    """All meters of the catalogue, at a constant number of queries.

    With a member, figures of limits per member are that member's own.
    """
    effective = current(organization)
    found = _read(organization, member)
    terms = {row.meter: row for row in UsageLimit.objects.filter(organization=organization)}
    keys = [key for key in meters() if key in found and key in terms]
    at = found[keys[0]].at if keys else now_for(organization)
    period = usage_month(terms.values(), organization, at)
    readings = [_reading(key, found[key], terms[key], member) for key in keys]
    readings = _counted(readings, organization)
    priced = prices(effective)
    readings = _priced(organization, readings, priced, terms)
    readings = _projected(readings, organization, period, at)
    return Usage(
        organization=organization,
        effective=effective,
        at=at,
        period=period,
        readings=tuple(readings),
        prices=priced,
        costs=_costs(effective, readings),
    )


def meters() -> Mapping[str, Meter]:
    """Those that people see: a planned one counts, but is shown to nobody yet."""
    return {
        key: meter for key, meter in catalog.current().meters.items() if meter.state != "planned"
    }


def glance(organization: Organization) -> list[UsageReading]:
    """Figures without prices and projections, in one query: for what every page shows."""
    try:
        found = _read(organization, "")
    except NothingOnSale:
        return []
    readings = []
    for key, reading in found.items():
        if reading.kind in {Kind.LEVEL, Kind.FLOW} and not reading.per_member:
            readings.append(_reading(key, reading, None, ""))
    return readings


def usage_month(terms: Any, organization: Organization, at: datetime) -> Period:
    """The month that is anchored to the subscription, whatever the reset of single meters is."""
    anchor = next((row.period_anchor for row in terms), organization.created_at)
    return period_at(PeriodRule.BILLING, anchor, at)


def body(usage: Usage) -> dict[str, Any]:
    """The answer of `GET …/usage`."""
    costs = usage.costs
    return {
        "organization": usage.organization.slug,
        "plan": usage.effective.plan.key,
        "period": _period_body(usage.period),
        "cost": None
        if costs is None
        else {
            "currency": costs.currency,
            "so_far": costs.so_far,
            "projected": costs.projected,
            "extra": costs.extra,
            "extra_cap": costs.extra_cap,
        },
        "meters": [reading_body(reading) for reading in usage.readings],
    }


def reading_body(reading: UsageReading) -> dict[str, Any]:
    found, extra = reading.projection, reading.extra
    return {
        "meter": reading.key,
        "kind": reading.kind,
        "used": reading.used,
        "held": reading.held,
        "limit": reading.limit,
        "remaining": reading.remaining,
        "overage": reading.overage,
        "credits": reading.credits,
        "hard": reading.hard,
        "per_member": reading.per_member,
        "period": _period_body(reading.period) if reading.resets_at else None,
        "resets_at": reading.resets_at and instant(reading.resets_at),
        "projected": found and found.amount,
        "limit_reached_at": found and found.reached_at and instant(found.reached_at),
        "cost": extra
        and {
            "currency": extra.currency,
            "so_far": extra.so_far,
            "projected": extra.projected,
            "cap": extra.cap,
        },
        "enforcement": reading.enforcement,
        "when_away": reading.meter.when_away,
    }


def _period_body(period: Period) -> dict[str, str]:
    return {"start": instant(period.start), "end": instant(period.end)}


# --- Figures ----------------------------------------------------------------------------------


def _read(organization: Organization, member: str) -> dict[str, Reading]:
    """The engine's own readings. Derives limits that are missing or past their time."""
    found = _asked(organization.pk, member)
    if found is None:
        limits.refresh(organization.pk)
        found = _asked(organization.pk, member)
    return found or {}


def _asked(organization: UUID, member: str) -> dict[str, Reading] | None:
    """None where limits must be derived first. Meters per member need a member, or are summed."""
    keys = list(meters())
    with connection.cursor() as cursor:
        rows = ledger.read(cursor, [(organization, key, member or _NOBODY) for key in keys])
    if any(row.outcome in _STALE for row in rows):
        return None
    found = {
        key: row.reading for key, row in zip(keys, rows, strict=True) if row.reading is not None
    }
    if not member:
        _add_members_up(organization, found)
    return found


_NOBODY = "\x7f"  # no member has this id: members are printable
_STALE = frozenset({"rederive", "unknown_meter"})


def _add_members_up(organization: UUID, found: dict[str, Reading]) -> None:
    shared = {key: reading for key, reading in found.items() if reading.per_member}
    if not shared:
        return
    sums = (
        Balance.objects.filter(
            organization_id=organization,
            meter__in=shared,
            period_start__in={reading.period_start for reading in shared.values()},
        )
        .values("meter")
        .annotate(used_sum=Sum("used"), held_sum=Sum("held"), over=Sum("overage"))
    )
    for row in sums:
        found[row["meter"]] = shared[row["meter"]].after(
            used=row["used_sum"], held=row["held_sum"], overage=row["over"]
        )


def _reading(key: str, reading: Reading, terms: UsageLimit | None, member: str) -> UsageReading:
    each = reading.per_member and not member
    return UsageReading(
        key=key,
        meter=catalog.current().meters[key],
        kind=reading.kind,
        used=reading.used,
        held=reading.held,
        limit=reading.allowance,
        remaining=None if each else reading.remaining,
        overage=reading.overage_shown,
        overage_cap=reading.overage_cap,
        credits=reading.credits,
        hard=reading.hard,
        overage_policy=Overage.STOP if terms is None else terms.overage,
        per_member=reading.per_member,
        member=member if reading.per_member else "",
        refusal=reading.refusal,
        enforcement=reading.enforcement,
        period=Period(reading.period_start, reading.period_end),
        resets_at=reading.period_end if reading.resets else None,
    )


def _counted(readings: list[UsageReading], organization: Organization) -> list[UsageReading]:
    """Rows are counted from our own tables; they have no balance."""
    if not any(reading.kind == Kind.ROWS for reading in readings):
        return readings
    used = members.count(organization.pk)
    return [
        replace(
            reading,
            used=used,
            remaining=None if reading.limit is None else max(reading.limit - used, 0),
            overage=0 if reading.limit is None else max(used - reading.limit, 0),
        )
        if reading.kind == Kind.ROWS
        else reading
        for reading in readings
    ]


# --- Prices -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Price:
    """What a unit beyond the included amount costs; the cap is what the owner or the plan says.

    `stops`: the owner wants none of it.
    """

    currency: str
    rate: Decimal
    per: int
    cap: int | None
    stops: bool


def prices(effective: EffectivePlan) -> dict[str, Price]:
    """By meter, of the metered items that the subscription has: trials and grants are not billed.

    The rate is the item's own, so that the page says what the invoice will.
    """
    if effective.source != Source.STRIPE:
        return {}
    metered = metering.of(effective.organization)
    if not metered:
        return {}
    controls = {
        control.meter: control
        for control in UsageControl.objects.filter(organization_id=effective.organization_id)
    }
    found = {}
    for limit in effective.plan.limits.all():
        item = metered.get(limit.meter)
        if item is None:
            continue
        cap = ((limit.overage or {}).get("cap") or {}).get(item.currency)
        control = controls.get(limit.meter)
        if control is not None and control.cap is not None:
            cap = control.cap
        found[limit.meter] = Price(
            currency=item.currency,
            rate=item.rate,
            per=item.per,
            cap=None if cap is None else int(cap),
            stops=control is not None and control.choice == UsageControl.Choice.STOP,
        )
    return found


def _priced(
    organization: Organization,
    readings: list[UsageReading],
    by_meter: Mapping[str, Price],
    terms: Mapping[str, UsageLimit],
) -> list[UsageReading]:
    known = billable.accounted(
        organization.pk,
        [(each.key, each.period.start) for each in readings if each.key in by_meter],
    )
    found = []
    for reading in readings:
        price = by_meter.get(reading.key)
        if price is not None:
            before = known.get((reading.key, reading.period.start), Accounted())
            units = billable.billed_units(reading.overage, before, terms.get(reading.key))
            if units or reading.overage_policy == Overage.BILL:
                found.append(replace(reading, extra=extra_of(price, units)))
                continue
        found.append(reading)
    return found


def billed_so_far(organization: Organization, reading: UsageReading) -> int:
    """Units of the reading's period that cost money."""
    key = (reading.key, reading.period.start)
    known = billable.accounted(organization.pk, [key]).get(key, Accounted())
    limit = UsageLimit.objects.filter(organization=organization, meter=reading.key).first()
    return billable.billed_units(reading.overage, known, limit)


def extra_of(price: Price, units: int) -> Extra:
    """What these units cost. The line is rounded once, as Stripe's is."""
    so_far = charge_for(units, rate=price.rate, per=price.per)
    return Extra(
        units=units,
        currency=price.currency,
        rate=price.rate,
        per=price.per,
        cap=price.cap,
        so_far=so_far,
        projected=so_far,
    )


def _costs(effective: EffectivePlan, readings: list[UsageReading]) -> Costs | None:
    """None for contracts and grants, whose prices are not in our tables."""
    if effective.source not in {Source.STRIPE, Source.DEFAULT}:
        return None
    extras = [reading.extra for reading in readings if reading.extra is not None]
    caps = [extra.cap for extra in extras]
    return Costs(
        currency=effective.currency or catalog.current().currencies[0],
        plan=_plan_cost(effective),
        extra=sum(extra.so_far for extra in extras),
        extra_projected=sum(extra.projected for extra in extras),
        extra_cap=None if None in caps or not caps else sum(cap or 0 for cap in caps),
    )


def _plan_cost(effective: EffectivePlan) -> int:
    """The fixed price of a month; what is paid by the year is no cost of this month."""
    if effective.source != Source.STRIPE or effective.interval != PlanPrice.Interval.MONTH:
        return 0
    price = PlanPrice.objects.with_stripe_id(effective.price_id).first()
    if price is None:
        return 0
    amount: int = price.unit_amount
    return amount * effective.seats if effective.plan.per_seat else amount


# --- Projections ------------------------------------------------------------------------------


def _projected(
    readings: list[UsageReading], organization: Organization, period: Period, at: datetime
) -> list[UsageReading]:
    levels = [reading.key for reading in readings if reading.kind == Kind.LEVEL]
    gained = gains(organization, levels, since=at - _PACE) if levels else {}
    found = []
    for reading in readings:
        ahead = None
        if reading.kind == Kind.FLOW:
            ahead = projection.of_flow(reading.used, reading.period, at, reading.limit)
        elif gained.get(reading.key):
            change = gained[reading.key]
            ahead = projection.of_level(reading.used, change, _PACE, period.end, at, reading.limit)
        found.append(_with(reading, ahead))
    return found


def _with(reading: UsageReading, ahead: Projection | None) -> UsageReading:
    extra = reading.extra
    if ahead is None or extra is None or reading.limit is None:
        return replace(reading, projection=ahead)
    # What credits and earlier limits cover is known: only the units to come are foretold.
    to_come = max(ahead.amount - max(reading.used, reading.limit + reading.credits), 0)
    if reading.overage_policy != Overage.BILL:
        to_come = 0
    cost = charge_for(extra.units + to_come, rate=extra.rate, per=extra.per)
    if extra.cap is not None:
        cost = max(min(cost, extra.cap), extra.so_far)
    return replace(reading, projection=ahead, extra=replace(extra, projected=cost))


def level_ahead(reading: UsageReading, gained: int, at: datetime, *, until: datetime) -> Projection:
    """At the pace of the last week."""
    return projection.of_level(reading.used, gained, _PACE, until, at, reading.limit)


def gains(organization: Organization, keys: list[str], *, since: datetime) -> dict[str, int]:
    """How much each level grew, by the roll-ups of whole hours."""
    rows = (
        Rollup.objects.filter(
            organization=organization,
            grain=Rollup.Grain.HOUR,
            meter__in=keys,
            bucket__gte=since,
            dimension="",
        )
        .values("meter")
        .annotate(gained=Sum(F("added") - F("removed")))
    )
    return {row["meter"]: row["gained"] for row in rows}
