"""What can happen next: steps that the present state allows, most of them, drawn from a seed."""

import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from billing import catalog
from billing.entitlement import store
from billing.exceptions import NotSubscribed
from billing.gateway import stripe_api
from billing.models import Access, EffectivePlan
from billing.subscription import checkout, holding, trials, wishes
from billing.subscription.holding import Holding
from orgs.models import Organization
from quotas.reading import usage
from tests.properties.lives import CODE, HOUR, Json, Life, Step

_MOST_SEATS: Final = 9
_HOURS: Final = (1, 24, 24, 3 * 24 + 1, 7 * 24, 15 * 24, 32 * 24, 32 * 24, 366 * 24)
# A step that is refused must happen as well, now and then.
_TRIES_ANYTHING: Final = 0.05


def drawn(life: Life, seed: int, *, at_least: int, at_most: int) -> Iterator[Step]:
    """A whole life, more often a short one; the same again for the same seed and catalogue."""
    chance = random.Random(seed)  # noqa: S311 (a repeatable choice is wanted)
    yield _beginning(life, chance)
    longest = chance.randint(at_least, at_most)
    for _ in range(chance.randint(at_least, longest) - 1):
        yield _next(life, chance)


def kind_drawn(seed: int) -> str:
    """Who lives it: a team, or somebody alone where the catalogue sells individuals something."""
    kinds = [kind for kind in Organization.Kind.values if plans_for(kind)]
    return random.Random(seed).choice(kinds)  # noqa: S311


def plans_for(kind: str) -> list[str]:
    """What people of this kind buy by themselves."""
    return [
        key
        for key, plan in catalog.current().plans.items()
        if plan.kind == "paid" and kind in plan.audience
    ]


def _beginning(life: Life, chance: random.Random) -> Step:
    """Most buy something at once; some try first, where there is something to try."""
    state = State(life)
    offered = list(trials.offered(state.effective))
    if offered and chance.random() < 0.3:
        return "trial", chance.choice(offered)
    return "checkout", {**_order(state, chance), "card": "success"}


def _next(life: Life, chance: random.Random) -> Step:
    state = State(life)
    anything = chance.random() < _TRIES_ANYTHING
    possible = [
        (name, weight)
        for name, (weight, holds, _value) in _STEPS.items()
        if anything or holds(state)
    ]
    names, weights = zip(*possible, strict=True)
    (name,) = chance.choices(names, weights)
    return name, _STEPS[name][2](state, chance)


@dataclass(frozen=True)
class State:
    """Where a life stands, at Stripe and here; asked for once, and only what is wanted."""

    life: Life

    @property
    def organization(self) -> Organization:
        return self.life.organization

    @cached_property
    def effective(self) -> EffectivePlan:
        return store.current(self.organization)

    @cached_property
    def held(self) -> Holding | None:
        try:
            return holding.of(self.organization)
        except NotSubscribed:
            return None

    @cached_property
    def standing(self) -> list[Json]:
        return self._ours("subscription", ended={"canceled", "incomplete_expired"})

    @cached_property
    def owed(self) -> list[Json]:
        return [one for one in self._ours("invoice") if one["status"] == "open"]

    @cached_property
    def charges(self) -> list[Any]:
        found = stripe_api.client().v1.charges.list({"customer": self.life.customer}).data
        return [one for one in found if one.paid]

    @cached_property
    def disputed(self) -> bool:
        ours = {one.id for one in self.charges}
        return any(
            one["charge"] in ours and one["status"] not in {"won", "lost"}
            for one in self.life.stripe.simulator.state("dispute")
        )

    @property
    def may_pay(self) -> bool:
        """Nothing is owed that forbids new paid actions, and the card would pay them."""
        return self.effective.access == Access.FULL and not self.life.card_fails

    @property
    def may_change(self) -> bool:
        held = self.held
        return (
            held is not None
            and held.subscription.status in {"active", "trialing"}
            and self.may_pay
            and not held.subscription.pending_invoice_id
        )

    @cached_property
    def seats(self) -> list[int]:
        """Other numbers of seats than the present one."""
        held = self.held
        entry = catalog.current().plans.get(held.plan_key) if held else None
        if held is None or entry is None or not entry.per_seat:
            return []
        used = wishes.seats_in_use(self.organization, held.plan_key)
        least, most = max(entry.seats.min, used), min(entry.seats.max or 10**6, _MOST_SEATS)
        return [number for number in range(least, most + 1) if number != held.seats]

    @cached_property
    def plans(self) -> list[str]:
        held, sold = self.held, catalog.current()
        if held is None:
            return []
        kind = self.organization.kind
        others = [*plans_for(kind), *(key for key in sold.plans if sold.opens(held.plan_key, key))]
        return [key for key in others if key != held.plan_key and self._is_sold(key)]

    @cached_property
    def intervals(self) -> list[str]:
        held = self.held
        if held is None:
            return []
        prices = held.price.plan.prices.on_sale().filter(currency=held.price.currency)
        return [one.interval for one in prices if one.interval != held.price.interval]

    @property
    def is_ending(self) -> bool:
        return self.held is not None and self.held.subscription.ends_at is not None

    @property
    def is_scheduled(self) -> bool:
        return self.held is not None and "at" in self.held.subscription.scheduled

    @property
    def is_paused(self) -> bool:
        return bool(self.standing and self.standing[-1]["pause_collection"])

    def _is_sold(self, key: str) -> bool:
        held = self.held
        sold = catalog.current().plans[key].prices.items()
        return held is not None and any(
            (interval, currency) == (held.price.interval, held.price.currency)
            for interval, found in sold
            for currency in found
        )

    def _ours(self, kind: str, *, ended: Collection[str] = ()) -> list[Json]:
        return [
            one
            for one in self.life.stripe.simulator.state(kind)
            if one["customer"] == self.life.customer and one["status"] not in ended
        ]


Holds = Callable[[State], bool]
Value = Callable[[State, random.Random], Any]


def _order(state: State, chance: random.Random) -> Json:
    plan = chance.choice(plans_for(state.organization.kind))
    currency = checkout.usual_currency(state.organization)
    prices = catalog.current().plans[plan].prices
    intervals = [interval for interval, found in prices.items() if currency in found]
    return {"plan_key": plan, "interval": chance.choice(intervals), "currency": currency}


def _bought(state: State, chance: random.Random) -> Json:
    return {**_order(state, chance), "card": chance.choices(["success", "decline"], [9, 1])[0]}


def _nothing(state: State, chance: random.Random) -> None:
    return None


def _one_of(*values: Any) -> Value:
    return lambda _state, chance: chance.choice(values)


def _any_of(found: Callable[[State], list[Any]], otherwise: Any) -> Value:
    return lambda state, chance: chance.choice(found(state) or [otherwise])


def _hours(state: State, chance: random.Random) -> int:
    """Often just to where something happens: the end of the period, of a trial, of grace."""
    now = state.life.now()
    ahead = [
        at for at in (state.effective.valid_until, state.effective.period_end) if at and at > now
    ]
    if ahead and chance.random() < 0.3:
        return int((min(ahead) - now).total_seconds() // HOUR) + chance.choice([0, 1])
    return chance.choice(_HOURS)


def _refundable(state: State) -> bool:
    return any(one.amount_refunded < one.amount and not one.disputed for one in state.charges)


def _levels(state: State) -> bool:
    readings = usage.of(state.organization).readings
    return any(one.kind == "level" and not one.per_member for one in readings)


def _may_buy(state: State) -> bool:
    effective = state.effective
    return (
        not state.standing
        and effective.access == Access.FULL
        and not effective.owed_invoice
        and not effective.barred_by_dispute
    )


# Step → how often, when it is possible, and with which value.
_STEPS: Final[dict[str, tuple[float, Holds, Value]]] = {
    "checkout": (8, _may_buy, _bought),
    "abandon": (1, _may_buy, _order),
    "seats": (4, lambda s: s.may_change and bool(s.seats), _any_of(lambda s: s.seats, 2)),
    "interval": (
        2,
        lambda s: s.may_change and bool(s.intervals),
        _any_of(lambda s: s.intervals, "year"),
    ),
    "plan": (3, lambda s: s.may_change and bool(s.plans), _any_of(lambda s: s.plans, "none")),
    "cancel": (
        1.5,
        lambda s: s.held is not None and not s.is_ending,
        _one_of("", "unused"),
    ),
    "cancel by date": (1, lambda s: bool(s.standing), lambda _s, chance: chance.randint(1, 40)),
    "end now": (0.7, lambda s: bool(s.standing), _nothing),
    "keep": (2, lambda s: s.is_ending or s.is_scheduled, _nothing),
    "promotion": (
        1,
        lambda s: s.may_change and s.held is not None and not s.held.subscription.discounts,
        lambda _state, chance: chance.choices([CODE, "NOSUCH"], [9, 1])[0],
    ),
    "trial": (
        1.5,
        lambda s: bool(trials.offered(s.effective)) and s.effective.access == Access.FULL,
        _any_of(lambda s: list(trials.offered(s.effective)), "none"),
    ),
    "hours": (8, lambda s: True, _hours),
    "card": (
        2.5,
        lambda s: bool(s.standing),
        lambda s, _chance: None if s.life.card_fails else "decline",
    ),
    "pay": (3, lambda s: bool(s.owed) and not s.life.card_fails, _nothing),
    "void": (0.7, lambda s: bool(s.owed), _nothing),
    "write off": (0.7, lambda s: bool(s.owed), _nothing),
    "refund": (1, _refundable, lambda _s, chance: chance.choice([chance.randint(1, 5000), 10**9])),
    "dispute": (0.7, lambda s: any(not one.disputed for one in s.charges), _nothing),
    "judge": (2, lambda s: s.disputed, _one_of("won", "lost")),
    "second": (0.7, lambda s: bool(s.standing) and not s.life.card_fails, _nothing),
    "pause": (0.8, lambda s: bool(s.standing), lambda s, _chance: not s.is_paused),
    "another card": (0.5, lambda s: True, _nothing),
    "store": (1, _levels, lambda _state, chance: chance.randint(1, 10**9)),
}  # fmt: skip
