"""High-usage leads: who will need a larger plan, ranked by projected usage over limit."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, Max, Q, Sum

from billing import catalog
from billing.entitlement.clock import database_now
from billing.insight import revenue
from billing.insight.revenue import Paying
from billing.models import EffectivePlan
from orgs import replica
from orgs.audit_log import formula_safe
from orgs.models import Membership
from quotas.engine.periods import Period
from quotas.models import Balance, Kind, QuotaHead, Rollup, UsageLimit
from quotas.reading import projection

LEAST: Final = 80  # percent of the limit, projected
MOST: Final = 500  # leads
CSV_COLUMNS: Final = (
    "organization", "name", "plan", "meter", "used", "limit", "projected", "percent", "next_plan",
    "currency", "monthly_minor_units",
)  # fmt: skip
_PACE: Final = timedelta(days=7)  # over which the growth of a level is measured
_AHEAD: Final = timedelta(days=30)  # how far a level is projected


@dataclass(frozen=True, kw_only=True)
class LeadReading:
    """One meter of one organization; `next_plan` allows more of it, empty where none does."""

    organization: UUID
    slug: str
    name: str
    plan: str
    meter: str
    used: int
    limit: int
    projected: int
    next_plan: str
    paying: Paying | None
    period_start: datetime

    @property
    def percent(self) -> int:
        return self.projected * 100 // self.limit


@replica.report
def find(least: int = LEAST) -> list[LeadReading]:
    """Nine queries for any number of organizations. The highest percentage first."""
    world = _World.look()
    found = [lead for limit in world.limits if (lead := _lead(limit, world, least)) is not None]
    found.sort(key=lambda lead: (-lead.percent, lead.slug, lead.meter))
    return found[:MOST]


def export(leads: list[LeadReading]) -> Iterator[list[str]]:
    yield list(CSV_COLUMNS)
    for lead in leads:
        yield [formula_safe(cell) for cell in _cells(lead)]


def _cells(lead: LeadReading) -> Iterator[str]:
    yield from (lead.slug, lead.name, lead.plan, lead.meter)
    yield from map(str, (lead.used, lead.limit, lead.projected, lead.percent))
    yield lead.next_plan
    yield lead.paying.currency.upper() if lead.paying else ""
    yield str(revenue.rounded(lead.paying.amount)) if lead.paying else ""


def _lead(limit: UsageLimit, world: "_World", least: int) -> LeadReading | None:
    effective = world.effective.get(limit.organization_id)
    meter = catalog.current().meters.get(limit.meter)
    if effective is None or meter is None or meter.state == "planned" or not limit.amount:
        return None
    used = world.used(limit)
    projected = world.projected(limit, used)
    if projected * 100 < limit.amount * least:
        return None
    return LeadReading(
        organization=limit.organization_id,
        slug=effective.organization.slug,
        name=effective.organization.name,
        plan=effective.plan.key,
        meter=limit.meter,
        used=used,
        limit=limit.amount,
        projected=projected,
        next_plan=_next_plan(effective.plan.key, limit.meter),
        paying=world.paying.get(limit.organization_id),
        period_start=limit.period_start if limit.kind == Kind.FLOW else world.month,
    )


def _next_plan(plan: str, meter: str) -> str:
    """The first later plan that allows more; plans rank as the catalogue lists them."""
    plans = catalog.current().plans
    if plan not in plans:
        return ""
    now = plans[plan].limits.get(meter)
    for key in list(plans)[catalog.current().position(plan) + 1 :]:
        limit = plans[key].limits.get(meter)
        if limit is None or now is None or now.amount is None:
            continue
        if limit.amount is None or limit.amount > now.amount or limit.per != now.per:
            return key
    return ""


@dataclass(frozen=True, kw_only=True)
class _World:
    at: datetime
    limits: list[UsageLimit]
    effective: Mapping[UUID, EffectivePlan]
    clocks: Mapping[UUID, datetime]
    sums: Mapping[tuple[UUID, str, datetime], int]
    members: Mapping[UUID, int]
    gains: Mapping[tuple[UUID, str], int]
    paying: revenue.Book

    @classmethod
    def look(cls) -> "_World":
        at = database_now()
        limits = UsageLimit.objects.filter(
            amount__gt=0, refusal="", kind__in=[Kind.FLOW, Kind.LEVEL, Kind.ROWS]
        )
        rows = EffectivePlan.objects.filter(organization__closed_at=None, is_beta=False)
        clocks = QuotaHead.objects.exclude(frozen_at=None).values_list("pk", "frozen_at")
        return cls(
            at=at,
            limits=list(limits),
            effective={
                row.organization_id: row for row in rows.select_related("organization", "plan")
            },
            clocks={pk: frozen for pk, frozen in clocks if frozen is not None},
            sums=_sums(),
            members=dict(
                Membership.objects.values_list("organization_id").annotate(n=Count("pk")).order_by()
            ),
            gains=_gains(at - _PACE),
            paying=revenue.present(),
        )

    @property
    def month(self) -> datetime:
        """Levels and seats have no period of their own: they are news once a month."""
        return self.at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    def used(self, limit: UsageLimit) -> int:
        if limit.kind == Kind.ROWS:
            return self.members.get(limit.organization_id, 0)
        return self.sums.get((limit.organization_id, limit.meter, limit.period_start), 0)

    def projected(self, limit: UsageLimit, used: int) -> int:
        at = self.clocks.get(limit.organization_id, self.at)
        if limit.kind == Kind.FLOW:
            period = Period(limit.period_start, limit.period_end)
            ahead = projection.of_flow(used, period, at, limit.amount)
            return used if ahead is None else ahead.amount
        if limit.kind == Kind.LEVEL:
            gained = self.gains.get((limit.organization_id, limit.meter), 0)
            return projection.of_level(used, gained, _PACE, at + _AHEAD, at, limit.amount).amount
        return used


def _sums() -> dict[tuple[UUID, str, datetime], int]:
    """By usage period; where the limit is per member, of the member with the most."""
    rows = Balance.objects.values("organization_id", "meter", "period_start").annotate(
        shared=Sum("used", filter=Q(member="")), most=Max("used")
    )
    found: dict[tuple[UUID, str, datetime], int] = {}
    for row in rows:
        place = (row["organization_id"], row["meter"], row["period_start"])
        found[place] = row["most"] if row["shared"] is None else row["shared"]
    return found


def _gains(since: datetime) -> Mapping[tuple[UUID, str], int]:
    rows: Any = (
        Rollup.objects.filter(grain=Rollup.Grain.HOUR, bucket__gte=since, dimension="")
        .values_list("organization_id", "meter")
        .annotate(gained=Sum(F("added") - F("removed")))
    )
    found: dict[tuple[UUID, str], int] = defaultdict(int)
    for organization, meter, gained in rows:
        found[organization, meter] = gained
    return found
