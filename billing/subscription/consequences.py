"""What another plan gives and takes: limits, features, and what will be over the new limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from billing import catalog, ports
from billing.catalog.policies import OverLimit
from billing.models import PlanLimit, SubscriptionPlan
from billing.subscription import packs
from billing.subscription.holding import Holding
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
    # What add-on packs put on top, by meter.
    added: Mapping[str, int] = field(default_factory=dict)


def terms_of(held: Holding) -> Terms:
    paid = {key: item["quantity"] for key, (item, _extra) in held.packs.items()}
    return Terms(plan=held.price.plan, seats=held.seats, added=packs.units(held, paid))


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
    return {limit.meter: _amount(limit, terms) for limit in terms.plan.limits.all()}


def _amount(limit: PlanLimit, terms: Terms) -> int | None:
    amount: int | None = limit.amount
    if amount is None:
        return None
    each = terms.seats if limit.per == PlanLimit.Per.SEAT else 1
    return amount * each + terms.added.get(limit.meter, 0)


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
