"""A Stripe of facts alone: what moves there, who hears of it, and when."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from billing.entitlement.verdict import Facts, GrantFact, InvoiceFact, PlanRef, SubscriptionFact
from billing.models import Source

BEGIN = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLANS = tuple(PlanRef(key=key, version=1) for key in ("hobby", "pro", "enterprise"))
GIVEN = (Source.SITE_OWNER, Source.CONTRACT, Source.MANUAL, Source.PILOT, Source.TRIAL)

Move = tuple[str, int]
Thing = SubscriptionFact | InvoiceFact
T = TypeVar("T", SubscriptionFact, InvoiceFact)


@dataclass
class World:
    """What is true now: subscriptions and invoices at Stripe, grants with us, one clock."""

    now: datetime = BEGIN
    things: dict[str, Thing] = field(default_factory=dict)
    grants: dict[int, GrantFact] = field(default_factory=dict)
    deleted: bool = False

    def move(self, move: Move) -> list[str]:
        """The ids of what changed at Stripe."""
        name, number = move
        return MOVES[name](self, number)

    def subscription(self, number: int) -> SubscriptionFact | None:
        return _pick(self.things.values(), SubscriptionFact, number)

    def invoice(self, number: int) -> InvoiceFact | None:
        return _pick(self.things.values(), InvoiceFact, number)

    def put(self, *things: Thing) -> list[str]:
        self.things |= {one.stripe_id: one for one in things}
        return [one.stripe_id for one in things]


def _pick(things: Iterable[Thing], kind: type[T], number: int) -> T | None:
    found = [one for one in things if isinstance(one, kind)]
    return found[number % len(found)] if found else None


def facts_of(
    things: Iterable[Thing], grants: Iterable[GrantFact], *, deleted: bool, seed: int = 0
) -> Facts:
    """In an order that the seed chooses."""
    chance = random.Random(seed)  # noqa: S311 (a repeatable order is wanted)
    mixed, given = list(things), list(grants)
    chance.shuffle(mixed)
    chance.shuffle(given)
    return Facts(
        subscriptions=tuple(one for one in mixed if isinstance(one, SubscriptionFact)),
        invoices=tuple(one for one in mixed if isinstance(one, InvoiceFact)),
        grants=tuple(given),
        has_ever_billed=any(isinstance(one, SubscriptionFact) for one in mixed),
        customer_deleted=deleted,
    )


# --- What can happen --------------------------------------------------------------------------


def _subscribe(world: World, number: int) -> list[str]:
    """Paid at once, waiting for its first payment, of the other mode, or at an unknown price."""
    serial = len(world.things)
    plan = (*PLANS[1:], None)[number % 3]
    waits = number % 5 == 0
    made = SubscriptionFact(
        stripe_id=f"sub_{serial}",
        status="incomplete" if number % 10 == 0 else "active",
        plan=plan,
        price_id=f"price_{number % 3}",
        quantity=1 + number % 7,
        interval="month",
        currency="usd",
        livemode=number % 11 == 0,
        created_at=world.now,
        period_start=world.now,
        period_end=world.now + 30 * DAY,
    )
    first = _billed(world, made, reason="subscription_create", serial=serial + 1)
    paid = replace(
        first,
        status="paid",
        amount_paid=first.amount_remaining,
        amount_remaining=0,
        attempt_count=1,
    )
    return world.put(made, first if waits else paid)


def _billed(world: World, found: SubscriptionFact, *, reason: str, serial: int) -> InvoiceFact:
    sent = serial % 6 == 0
    return InvoiceFact(
        stripe_id=f"in_{serial}",
        status="open",
        billing_reason=reason,
        subscription_id=found.stripe_id,
        collection_method="send_invoice" if sent else "charge_automatically",
        amount_remaining=0 if serial % 13 == 0 else 700,
        attempt_count=0,
        finalized_at=world.now,
        due_date=world.now + 30 * DAY if sent else None,
        period_end=found.period_end,
    )


def _renew(world: World, number: int) -> list[str]:
    found = world.subscription(number)
    if found is None or found.status == "canceled":
        return []
    moved = replace(found, period_start=world.now, period_end=world.now + 30 * DAY)
    bill = _billed(world, moved, reason="subscription_cycle", serial=len(world.things))
    return world.put(moved, bill)


def _fail(world: World, number: int) -> list[str]:
    invoice = world.invoice(number)
    if invoice is None or invoice.status != "open":
        return []
    failed = replace(invoice, attempt_count=invoice.attempt_count + 1)
    owner = world.things.get(invoice.subscription_id)
    if isinstance(owner, SubscriptionFact) and owner.status == "active":
        return world.put(failed, replace(owner, status="past_due"))
    return world.put(failed)


def _settle(status: str) -> Callable[[World, int], list[str]]:
    def act(world: World, number: int) -> list[str]:
        invoice = world.invoice(number)
        if invoice is None or invoice.status not in ("open", "uncollectible"):
            return []
        rest, paid = invoice.amount_remaining, 0
        if status == "paid":
            rest, paid = 0, rest
        changed = [replace(invoice, status=status, amount_remaining=rest, amount_paid=paid)]
        owner = world.things.get(invoice.subscription_id)
        waited = isinstance(owner, SubscriptionFact) and owner.status in ("past_due", "incomplete")
        if status == "paid" and waited and isinstance(owner, SubscriptionFact):
            return world.put(*changed, replace(owner, status="active"))
        return world.put(*changed)

    return act


def _return(world: World, number: int) -> list[str]:
    """All of what was paid, or a part of it."""
    invoice = world.invoice(number)
    if invoice is None or invoice.status != "paid" or invoice.amount_paid == 0:
        return []
    returned = invoice.amount_paid if number % 2 else 1
    return world.put(replace(invoice, amount_refunded=max(returned, invoice.amount_refunded)))


def _dispute(outcome: str) -> Callable[[World, int], list[str]]:
    def act(world: World, number: int) -> list[str]:
        invoice = world.invoice(number)
        if invoice is None or invoice.status != "paid":
            return []
        return world.put(replace(invoice, dispute=outcome))

    return act


def _become(**values: Any) -> Callable[[World, int], list[str]]:
    def act(world: World, number: int) -> list[str]:
        found = world.subscription(number)
        if found is None or found.status == "canceled":
            return []
        return world.put(replace(found, **values))

    return act


def _cancel_at(world: World, number: int) -> list[str]:
    found = world.subscription(number)
    return world.put(replace(found, cancel_at=world.now + (number % 40) * DAY)) if found else []


def _another_price(world: World, number: int) -> list[str]:
    found = world.subscription(number)
    return world.put(replace(found, plan=(*PLANS, None)[number % 4])) if found else []


def _wait(world: World, number: int) -> list[str]:
    world.now += (number % 300) * HOUR
    return []


def _give(world: World, number: int) -> list[str]:
    """Sometimes of a plan that nobody knows, not yet begun, or over already."""
    serial = len(world.grants)
    world.grants[serial] = GrantFact(
        id=serial,
        source=GIVEN[number % 5],
        plan=(*PLANS, None)[number % 4],
        seats=None,
        starts_at=world.now + (number % 3 - 1) * DAY,
        ends_at=None if number % 7 == 0 else world.now + (number % 9 - 1) * DAY,
    )
    return []


def _revoke(world: World, number: int) -> list[str]:
    if world.grants:
        world.grants.pop(sorted(world.grants)[number % len(world.grants)])
    return []


def _delete_customer(world: World, number: int) -> list[str]:
    world.deleted = world.deleted or number % 8 == 0
    return []


MOVES: Final[dict[str, Callable[[World, int], list[str]]]] = {
    "subscribe": _subscribe,
    "renew": _renew,
    "fail": _fail,
    "pay": _settle("paid"),
    "void": _settle("void"),
    "write off": _settle("uncollectible"),
    "refund": _return,
    "dispute": _dispute("needs_response"),
    "lose": _dispute("lost"),
    "win": _dispute("won"),
    "cancel": _become(cancel_at_period_end=True),
    "cancel at": _cancel_at,
    "keep": _become(cancel_at_period_end=False, cancel_at=None),
    "end": _become(status="canceled"),
    "unpaid": _become(status="unpaid"),
    "strange": _become(status="blissful"),
    "pause": _become(paused=True),
    "go on": _become(paused=False),
    "price": _another_price,
    "wait": _wait,
    "give": _give,
    "revoke": _revoke,
    "delete customer": _delete_customer,
}


# --- Who hears of it --------------------------------------------------------------------------


@dataclass
class Listener:
    """Knows what it was told of, as it was when it asked for it."""

    believes_payloads: bool = False
    known: dict[str, Thing] = field(default_factory=dict)

    def hear(self, world: World, told: Thing) -> None:
        """The event says whose state moved; what it is now is asked of Stripe."""
        self.known[told.stripe_id] = (
            told if self.believes_payloads else world.things[told.stripe_id]
        )


def tell(world: World, moves: Iterable[Move], listener: Listener, seed: int) -> None:
    """Lets the world go on while its events arrive late, twice, in any order, or not at all.

    What was lost is listed by Stripe, so that a reconcile asks for it in the end.
    """
    chance = random.Random(seed)  # noqa: S311 (a repeatable order is wanted)
    under_way: list[Thing] = []
    lost: list[Thing] = []
    for move in moves:
        for changed in world.move(move):
            copies = chance.choice((0, 1, 1, 1, 2))
            (under_way if copies else lost).extend([world.things[changed]] * max(copies, 1))
        chance.shuffle(under_way)
        for _ in range(chance.randrange(len(under_way) + 1)):
            listener.hear(world, under_way.pop())
    for told in (*under_way, *lost):
        listener.hear(world, told)
