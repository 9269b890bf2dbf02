"""What another catalogue would do to the organizations that are here: nothing is changed.

Each organization stays on the plan of the same key, with its seats, interval and currency. A flow
counts with what it comes to at the end of its period at the present pace; contracts' own amounts,
overrides and packs stay as they are. Money is list price a month (see revenue); usage beyond the
included amount, discounts and tax count nothing.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Max, Q, Sum

from billing.catalog import features, loading
from billing.catalog.loading import CatalogInvalid
from billing.catalog.rules import Problem
from billing.catalog.schema import Catalog, Limit, Plan
from billing.entitlement.clock import database_now
from billing.insight import revenue
from billing.insight.revenue import Book, Paying
from billing.models import EffectivePlan, Grant
from orgs.audit_log import formula_safe
from orgs.models import Membership
from quotas.engine.periods import Period
from quotas.models import Balance, Kind, LimitAdjustment, UsageLimit
from quotas.reading import projection

CSV_COLUMNS: Final = (
    "organization", "name", "plan", "source", "meter", "used", "limit_now", "limit_then",
    "over_now", "over_then", "currency", "monthly_now", "monthly_then", "loses", "note",
)  # fmt: skip
_GONE: Final = "the plan is gone; it keeps what it has"
_NOT_SOLD: Final = "its price is not sold any more; it keeps it"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One meter of one organization. A limit None is unlimited."""

    meter: str
    used: int
    now: int | None
    then: int | None

    @property
    def over_now(self) -> bool:
        return self.now is not None and self.used > self.now

    @property
    def over_then(self) -> bool:
        return self.then is not None and self.used > self.then


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One organization, where something differs or is over."""

    slug: str
    name: str
    plan: str
    source: str
    effects: tuple[Effect, ...]
    now: Paying | None
    then: Paying | None
    loses: tuple[str, ...]
    note: str = ""

    @property
    def goes_over(self) -> bool:
        return any(effect.over_then and not effect.over_now for effect in self.effects)

    @property
    def difference(self) -> Fraction:
        return _amount(self.then) - _amount(self.now)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`before` and `after` are MRR by currency, over all organizations."""

    organizations: int
    outcomes: tuple[Outcome, ...]
    before: Mapping[str, Fraction]
    after: Mapping[str, Fraction]

    @property
    def over(self) -> int:
        return sum(outcome.goes_over for outcome in self.outcomes)

    @property
    def pay_more(self) -> int:
        return sum(outcome.difference > 0 for outcome in self.outcomes)

    @property
    def pay_less(self) -> int:
        return sum(outcome.difference < 0 for outcome in self.outcomes)


def read(text: str) -> Catalog:
    """A catalogue from pasted TOML. Raises CatalogInvalid, one line per mistake."""
    path = Path("edited.toml")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogInvalid(path, [Problem("file", f"cannot be read: {error}")]) from None
    return loading.parse(document, path)


def ask(candidate: Catalog) -> Answer:
    """Nine queries, however many organizations there are."""
    world = _World.look()
    outcomes, after = [], {}
    for row in world.effective:
        outcome = _outcome(row, candidate, world)
        if outcome.then is not None:
            after[row.organization_id] = outcome.then
        if _matters(outcome):
            outcomes.append(outcome)
    outcomes.sort(key=lambda found: (not found.goes_over, -abs(found.difference), found.slug))
    return Answer(
        organizations=len(world.effective),
        outcomes=tuple(outcomes),
        before=revenue.totals(world.paying),
        after=revenue.totals(after),
    )


def export(answer: Answer) -> Iterator[list[str]]:
    """One line per organization and meter, header first; no cell is a formula (E13)."""
    yield list(CSV_COLUMNS)
    for outcome in answer.outcomes:
        for effect in outcome.effects or (None,):
            yield [formula_safe(cell) for cell in _cells(outcome, effect)]


def _matters(outcome: Outcome) -> bool:
    return bool(outcome.effects or outcome.difference or outcome.loses or outcome.note)


# --- One organization -------------------------------------------------------------------------


def _outcome(row: EffectivePlan, candidate: Catalog, world: "_World") -> Outcome:
    plan = candidate.plans.get(row.plan.key)
    paying = world.paying.get(row.organization_id)
    then, note = (paying, _GONE) if plan is None else _price(row, plan, paying)
    return Outcome(
        slug=row.organization.slug,
        name=row.organization.name,
        plan=row.plan.key,
        source=row.source,
        effects=() if plan is None else tuple(_effects(row, plan, candidate, world)),
        now=paying,
        then=then,
        loses=() if plan is None else _lost(row, candidate),
        note=note,
    )


def _price(row: EffectivePlan, plan: Plan, paying: Paying | None) -> tuple[Paying | None, str]:
    if paying is None:
        return None, ""
    wanted: dict[tuple[str, str], int] = {
        (interval, currency): price.amount for interval, currency, price in plan.each_price()
    }
    amount = wanted.get((row.interval, paying.currency))
    if amount is None:
        return paying, _NOT_SOLD
    seats = max(row.seats, plan.seats.min) if plan.per_seat else 1
    return Paying(paying.currency, revenue.monthly(amount, row.interval, seats)), ""


def _lost(row: EffectivePlan, candidate: Catalog) -> tuple[str, ...]:
    kept = features.granted(candidate, row.plan.key)
    had = {key for key, state in row.plan.features.items() if state == "available"}
    return tuple(sorted(had - kept))


def _effects(
    row: EffectivePlan, plan: Plan, candidate: Catalog, world: "_World"
) -> Iterator[Effect]:
    """Meters whose limit changes for it, or that it is beyond."""
    for limit in world.limits.get(row.organization_id, ()):
        if limit.kind == Kind.CEILING or limit.meter not in candidate.meters:
            continue
        then = _then(row, limit, plan.limits.get(limit.meter), world)
        effect = Effect(meter=limit.meter, used=world.used(limit), now=limit.amount, then=then)
        if effect.now != effect.then or effect.over_then:
            yield effect


def _then(
    row: EffectivePlan, present: UsageLimit, limit: Limit | None, world: "_World"
) -> int | None:
    place = (row.organization_id, present.meter)
    if place in world.agreed or row.is_beta:
        return present.amount
    amount = 0 if limit is None else limit.amount
    if amount is not None and limit is not None and limit.per == "seat":
        amount *= row.seats
    return None if amount is None else amount + world.packs.get(place, 0)


# --- Everything, read at once -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _World:
    at: datetime
    effective: list[EffectivePlan]
    paying: Book
    limits: Mapping[UUID, list[UsageLimit]]
    sums: Mapping[tuple[UUID, str], int]
    members: Mapping[UUID, int]
    packs: Mapping[tuple[UUID, str], int]
    agreed: frozenset[tuple[UUID, str]]

    @classmethod
    def look(cls) -> "_World":
        rows = EffectivePlan.objects.filter(organization__closed_at=None)
        limits: dict[UUID, list[UsageLimit]] = defaultdict(list)
        for limit in UsageLimit.objects.all().iterator(chunk_size=5_000):
            limits[limit.organization_id].append(limit)
        at = database_now()
        return cls(
            at=at,
            effective=list(rows.select_related("organization", "plan").order_by("organization")),
            paying=revenue.present(discounted=False),
            limits=limits,
            sums=_sums(at),
            members=_members(),
            packs=_packs(at),
            agreed=_agreed(at),
        )

    def used(self, limit: UsageLimit) -> int:
        if limit.kind == Kind.ROWS:
            return self.members.get(limit.organization_id, 0)
        used = self.sums.get((limit.organization_id, limit.meter), 0)
        if limit.kind != Kind.FLOW:
            return used
        period = Period(limit.period_start, limit.period_end)
        ahead = projection.of_flow(used, period, self.at, None)
        return used if ahead is None else ahead.amount


def _sums(at: datetime) -> dict[tuple[UUID, str], int]:
    """Of the present periods; where the limit is per member, of the member with the most."""
    rows = (
        Balance.objects.filter(period_start__lte=at, period_end__gt=at)
        .values("organization_id", "meter")
        .annotate(shared=Sum("used", filter=Q(member="")), most=Max("used"))
    )
    return {
        (row["organization_id"], row["meter"]): row["most"]
        if row["shared"] is None
        else row["shared"]
        for row in rows
    }


def _members() -> dict[UUID, int]:
    rows = Membership.objects.values_list("organization_id").annotate(n=Count("pk"))
    return dict(rows.order_by())


def _live(at: datetime) -> Q:
    return Q(revoked_at=None, starts_at__lte=at) & (Q(ends_at=None) | Q(ends_at__gt=at))


def _packs(at: datetime) -> dict[tuple[UUID, str], int]:
    rows = (
        LimitAdjustment.objects.filter(_live(at), mode=LimitAdjustment.Mode.ADD)
        .values_list("organization_id", "meter")
        .annotate(units=Sum("amount"))
    )
    return {(organization, meter): units for organization, meter, units in rows}


def _agreed(at: datetime) -> frozenset[tuple[UUID, str]]:
    """Amounts that no catalogue decides: overrides, and what contracts say."""
    overrides = LimitAdjustment.objects.filter(_live(at), mode=LimitAdjustment.Mode.SET)
    granted = Grant.objects.filter(_live(at)).exclude(limits={})
    return frozenset(
        [
            *overrides.values_list("organization_id", "meter"),
            *(
                (organization, meter)
                for organization, limits in granted.values_list("organization_id", "limits")
                for meter in limits
            ),
        ]
    )


def _amount(paying: Paying | None) -> Fraction:
    return Fraction(0) if paying is None else paying.amount


def _cells(outcome: Outcome, effect: Effect | None) -> Iterable[str]:
    def shown(amount: Any) -> str:
        return "" if amount is None else str(amount)

    def money(paying: Paying | None) -> str:
        return "" if paying is None else str(revenue.rounded(paying.amount))

    def bound(limit: int | None) -> str:
        return "unlimited" if limit is None else str(limit)

    paying = outcome.then or outcome.now
    yield from (outcome.slug, outcome.name, outcome.plan, outcome.source)
    if effect is None:
        yield from ("", "", "", "", "", "")
    else:
        yield from (
            effect.meter,
            shown(effect.used),
            bound(effect.now),
            bound(effect.then),
            str(effect.over_now).lower(),
            str(effect.over_then).lower(),
        )
    yield paying.currency.upper() if paying else ""
    yield from (money(outcome.now), money(outcome.then), " ".join(outcome.loses), outcome.note)
