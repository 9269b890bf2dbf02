"""From what somebody wishes to one price of ours, and to the policy that governs the way there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.utils.translation import gettext as _

from billing import catalog, ports
from billing.catalog.policies import Transition
from billing.exceptions import CurrencyFixed, NothingToChange, SeatsInUse
from billing.models import PlanPrice, SubscriptionPlan
from billing.subscription import audience, checkout, packs
from billing.subscription.checkout import Order
from billing.subscription.holding import Coming, Holding
from orgs.models import Organization


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What should become of a subscription; None keeps what is there."""

    plan_key: str | None = None
    interval: str | None = None
    currency: str | None = None
    seats: int | None = None
    # Add-on packs by key, 0 for none; a pack that is not named stays as it is.
    addons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the subscription will be, and how the catalogue lets it get there."""

    price: PlanPrice
    seats: int
    addons: Mapping[str, int]
    transition: Transition

    @property
    def at_once(self) -> bool:
        return self.transition.when == "at_once"


def target_of(organization: Organization, held: Holding, wish: Wish) -> Target:
    """Raises what `checkout.quote` raises, PlanNotForYou, CurrencyFixed, SeatsInUse and
    NothingToChange."""
    if wish.currency and wish.currency != held.price.currency:
        raise CurrencyFixed(
            _("This workspace pays in %(currency)s. Stripe keeps one currency per customer.")
            % {"currency": held.price.currency.upper()},
            field="currency",
            currency=held.price.currency,
        )
    price, seats = _priced(organization, held, wish)
    addons = packs.wished(held, price.plan, wish.addons)
    if (price.pk, seats, addons) == (held.price.pk, held.seats, held_packs(held)):
        raise NothingToChange(_("Your subscription is exactly that already."))
    _keep_seats_for_everybody(organization, held, price.plan, seats)
    transition = _transition(held, price, seats, addons)
    target = Target(price=price, seats=seats, addons=addons, transition=transition)
    return target if target.at_once else _beside_what_is_scheduled(held, wish, target)


def replaced_by(target: Target, wish: Wish, held: Holding) -> Coming | None:
    """What is scheduled and will not happen any more; people hear of it before and after."""
    goes_along = not target.at_once and wish.plan_key is None and wish.interval is None
    return None if goes_along else held.coming


def _beside_what_is_scheduled(held: Holding, wish: Wish, target: Target) -> Target:
    """A pack given up after seats were: the renewal does both, unless the plan changes anew."""
    coming = held.coming
    if coming is None or wish.plan_key is not None or wish.interval is not None:
        return target
    packs_then = {**coming.packs, **wish.addons}
    return replace(
        target,
        price=coming.price,
        seats=coming.seats if wish.seats is None else target.seats,
        addons={key: quantity for key, quantity in packs_then.items() if quantity},
    )


def _priced(organization: Organization, held: Holding, wish: Wish) -> tuple[PlanPrice, int]:
    """Whoever stays on plan and interval keeps the very price they have, archived or not."""
    plan_key = wish.plan_key or held.plan_key
    interval = wish.interval or held.price.interval
    if (plan_key, interval) == (held.plan_key, held.price.interval):
        wanted = held.seats if wish.seats is None else wish.seats
        return held.price, checkout.seats_for(held.price.plan, wanted)
    audience.check(organization, plan_key)
    seats = wish.seats if wish.seats is not None else _usual_seats(organization, held, plan_key)
    return checkout.quote(
        Order(
            plan_key=plan_key,
            interval=interval,
            currency=held.price.currency,
            seats=seats,
        ),
        by_contract=catalog.current().opens(held.plan_key, plan_key),
    )


def _usual_seats(organization: Organization, held: Holding, plan_key: str) -> int | None:
    """The seats there are, or one for everybody who is in; None for a plan without seats."""
    entry = catalog.current().plans.get(plan_key)
    if entry is None or not entry.per_seat:
        return None
    wanted = held.seats if held.price.plan.per_seat else seats_in_use(organization, plan_key)
    most = entry.seats.max
    wanted = max(wanted, entry.seats.min)
    return wanted if most is None else min(wanted, most)


def seats_in_use(organization: Organization, plan_key: str) -> int:
    """People who need a seat of the plan, 0 where its seats cover nothing that is counted."""
    entry = catalog.current().plans.get(plan_key)
    if entry is None or entry.seats.cover is None:
        return 0
    return ports.usage().used(organization, entry.seats.cover)


def _keep_seats_for_everybody(
    organization: Organization, held: Holding, plan: SubscriptionPlan, seats: int
) -> None:
    """Nobody loses a seat by arithmetic: first people leave, then seats are given up."""
    used = seats_in_use(organization, plan.key)
    if plan.per_seat and seats < min(used, held.seats):
        raise SeatsInUse(
            _("%(used)s seats are in use. Remove members first, then reduce the seats.")
            % {"used": used},
            field="seats",
            used=used,
            minimum=min(used, held.seats),
        )


def held_packs(held: Holding) -> dict[str, int]:
    return {key: item["quantity"] for key, (item, _extra) in held.packs.items()}


def _transition(
    held: Holding, price: PlanPrice, seats: int, addons: Mapping[str, int]
) -> Transition:
    """The plan decides before the interval, the interval before the seats, those before packs."""
    sold = catalog.current()
    policies = sold.transitions
    if price.plan.key != held.plan_key:
        known = held.plan_key in sold.plans
        return sold.transition(held.plan_key, price.plan.key) if known else policies.upgrade
    if price.interval != held.price.interval:
        yearly = price.interval == PlanPrice.Interval.YEAR
        return policies.to_yearly if yearly else policies.to_monthly
    if seats != held.seats:
        return policies.more_seats if seats > held.seats else policies.fewer_seats
    before = held_packs(held)
    more = any(quantity > before.get(key, 0) for key, quantity in addons.items())
    return policies.more_packs if more else policies.fewer_packs
