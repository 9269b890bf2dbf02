"""What another plan gives and takes: limits, features, and what will be over the new limits."""

from collections.abc import Iterator
from dataclasses import dataclass

from billing import catalog, ports
from billing.catalog.policies import OverLimit
from billing.models import PlanLimit, SubscriptionPlan
from orgs.models import Organization

# What is held, and stays held, when the plan changes; a flow starts anew and a ceiling is no sum.
_KEPT = ("level", "rows")


@dataclass(frozen=True, kw_only=True)
class LimitChange:
    """Amounts of the whole organization in the meter's own units; None is unlimited."""

    meter: str
    before: int | None
    after: int | None


@dataclass(frozen=True, kw_only=True)
class Surplus:
    """What exceeds the new limit, and what the catalogue does about it. Nothing is deleted."""

    meter: str
    used: int
    limit: int
    policy: OverLimit

    @property
    def amount(self) -> int:
        return self.used - self.limit


@dataclass(frozen=True, kw_only=True)
class Consequences:
    limits: tuple[LimitChange, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    over: tuple[Surplus, ...]


@dataclass(frozen=True, kw_only=True)
class Terms:
    plan: SubscriptionPlan
    seats: int


def between(organization: Organization, before: Terms, after: Terms) -> Consequences:
    """Meters and features in the catalogue's order, those that change alone."""
    old, new = _amounts(before), _amounts(after)
    return Consequences(
        limits=tuple(
            LimitChange(meter=meter, before=old.get(meter, 0), after=new.get(meter, 0))
            for meter in _meters()
            if old.get(meter, 0) != new.get(meter, 0)
        ),
        gained=tuple(_features(after.plan, without=before.plan)),
        lost=tuple(_features(before.plan, without=after.plan)),
        over=tuple(_surpluses(organization, new)),
    )


def _meters() -> list[str]:
    return [key for key, meter in catalog.current().meters.items() if meter.state == "available"]


def _amounts(terms: Terms) -> dict[str, int | None]:
    """A plan that does not name a meter gives nothing of it."""
    return {limit.meter: _amount(limit, terms.seats) for limit in terms.plan.limits.all()}


def _amount(limit: PlanLimit, seats: int) -> int | None:
    pooled = limit.per == PlanLimit.Per.SEAT and limit.amount is not None
    return (limit.amount or 0) * seats if pooled else limit.amount


def _features(plan: SubscriptionPlan, *, without: SubscriptionPlan) -> Iterator[str]:
    for key in catalog.current().features:
        if plan.offers(key) and not without.offers(key):
            yield key


def _surpluses(organization: Organization, allowed: dict[str, int | None]) -> Iterator[Surplus]:
    meters = catalog.current().meters
    for key in _meters():
        limit = allowed.get(key, 0)
        if limit is None or meters[key].kind not in _KEPT:
            continue
        used = ports.usage().used(organization, key)
        if used > limit:
            yield Surplus(meter=key, used=used, limit=limit, policy=meters[key].over_limit)
