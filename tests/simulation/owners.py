"""What owners, their banks and people at Stripe's dashboard do."""

import random
from datetime import timedelta
from typing import Any, Final

from billing.entitlement import clock, grants, store
from billing.gateway import stripe_api
from billing.gateway.stripe_api import CardDeclined
from billing.models import CheckoutIntent, Grant, Source
from billing.subscription import (
    cancellation,
    changes,
    checkout,
    credit_packs,
    portal,
    promotions,
    trials,
)
from billing.subscription.checkout import Order
from billing.subscription.wishes import Wish
from quotas import controls
from quotas.controls import Decision
from quotas.models import Kind, UsageControl
from tests.simulation.books import must
from tests.simulation.world import Act, Player, World

Json = dict[str, Any]


def _plans(world: World, player: Player) -> list[str]:
    return [
        key
        for key, plan in world.catalog.plans.items()
        if plan.kind == "paid" and player.organization.kind in plan.audience
    ]


def buy(world: World, player: Player, luck: random.Random) -> str:
    """Checkout, and the card on its page: most of them are good."""
    plan = luck.choice(_plans(world, player))
    order = Order(plan_key=plan, interval=luck.choice(("month", "month", "year")),
                  currency=luck.choice(world.catalog.currencies))  # fmt: skip
    card = luck.choice(("success", "success", "success", "success", "decline"))
    intent = checkout.start(player.organization, player.owner, order)
    return _pay_page(world, intent.session_id, card, f"{plan} {order.interval} {card}")


def leave_page(world: World, player: Player, luck: random.Random) -> str:
    order = Order(plan_key=luck.choice(_plans(world, player)))
    intent: CheckoutIntent = checkout.start(player.organization, player.owner, order)
    world.stage.simulator.expire_checkout(intent.session_id or "")
    return "left"


def pack(world: World, player: Player, luck: random.Random) -> str:
    """Prepaid units, where the plan of the moment sells them."""
    offered = credit_packs.offered(store.current(player.organization))
    if not offered:
        return "no packs"
    bought = luck.choice(offered).key
    purchase = credit_packs.start(player.organization, player.owner, bought)
    return _pay_page(world, purchase.session_id, "success", bought)


def _pay_page(world: World, session: str | None, card: str, said: str) -> str:
    world.stage.simulator.complete_checkout(session or "", card)
    return said


def seats(world: World, player: Player, luck: random.Random) -> str:
    wanted = luck.randint(1, 9)
    changes.change(player.organization, player.owner, Wish(seats=wanted))
    return str(wanted)


def another_plan(world: World, player: Player, luck: random.Random) -> str:
    wanted, interval = luck.choice(_plans(world, player)), luck.choice(("month", "year"))
    changes.change(player.organization, player.owner, Wish(plan_key=wanted, interval=interval))
    return f"{wanted} {interval}"


def addon(world: World, player: Player, luck: random.Random) -> str:
    keys = sorted(world.catalog.addons)
    if not keys:
        return "no add-ons"
    wanted = {luck.choice(keys): luck.randint(0, 3)}
    changes.change(player.organization, player.owner, Wish(addons=wanted))
    return str(wanted)


def cancel(world: World, player: Player, luck: random.Random) -> str:
    cancellation.cancel(player.organization, player.owner, reason=luck.choice(("", "unused")))
    return "canceled"


def keep(world: World, player: Player, luck: random.Random) -> str:
    changes.keep(player.organization, player.owner)
    return "kept"


def promotion(world: World, player: Player, luck: random.Random) -> str:
    promotions.apply(player.organization, player.owner, luck.choice(("NOSUCH", "WELCOME")))
    return "applied"


def portal_of_stripe(world: World, player: Player, luck: random.Random) -> str:
    """It shows the organization's own cards and invoices, and nobody else's."""
    flow = luck.choice((None, None, "payment_method_update", "subscription_cancel"))
    url = portal.open_portal(player.organization, player.owner, flow=flow)
    opened = [one for one in world.stage.simulator.state("billing_portal.session")
              if one["url"] == url]  # fmt: skip
    shown = [one["customer"] for one in opened]
    must(shown == [player.customer], "a portal is somebody else's", shown, player.customer)
    return f"portal {flow}"


def trial(world: World, player: Player, luck: random.Random) -> str:
    plan = luck.choice(_plans(world, player))
    trials.start(player.organization, player.owner, plan)
    return plan


def extra_usage(world: World, player: Player, luck: random.Random) -> str:
    """Billed up to a cap, or stopped at what is included."""
    flows = world.meters(Kind.FLOW)
    if not flows:
        return "no flows"
    choice = luck.choice((UsageControl.Choice.BILL, UsageControl.Choice.STOP))
    cap = luck.choice((None, 0, 500, 2500)) if choice == UsageControl.Choice.BILL else None
    decision = Decision(choice=choice, cap=cap, currency=world.catalog.currencies[0])
    controls.decide(player.organization, flows[0], decision, actor=player.owner)
    return f"{choice} {cap}"


def grant(world: World, player: Player, luck: random.Random) -> str:
    """A plan by hand, for some days; or the end of one."""
    standing = Grant.objects.filter(organization=player.organization, revoked_at=None).first()
    if standing is not None and standing.source != Source.TRIAL:
        grants.revoke(standing, actor=player.owner)
        return "revoked"
    plan = luck.choice(sorted(world.catalog.plans))
    now = clock.now_for(player.organization)
    grants.give(
        Grant(organization=player.organization, source=Source.PILOT, plan_key=plan,
              seats=luck.choice((None, 3)), reason="a world's pilot", starts_at=now,
              ends_at=luck.choice((None, now + timedelta(days=luck.randint(1, 40))))),
        actor=player.owner,
    )  # fmt: skip
    return plan


# --- Banks, and people at Stripe ------------------------------------------------------------------


def card(world: World, player: Player, luck: random.Random) -> str:
    behaviour = luck.choice(("decline", "insufficient_funds", None))
    world.stage.simulator.set_card(_customer(player), behaviour)
    return str(behaviour)


def pay(world: World, player: Player, luck: random.Random) -> str:
    """What is owed, from the hosted page."""
    customer = _customer(player)
    owed = [
        one
        for one in world.stage.simulator.state("invoice")
        if one["customer"] == customer and one["status"] == "open"
    ]
    if not owed:
        return "nothing owed"
    world.stage.simulator.set_card(customer, None)
    stripe_api.client().v1.invoices.pay(owed[0]["id"])
    return "paid"


def end_now(world: World, player: Player, luck: random.Random) -> str:
    stripe_api.cancel_subscription(_subscription(world, player)["id"], key=f"end:{luck.random()}")
    return "ended"


def refund(world: World, player: Player, luck: random.Random) -> str:
    charges = stripe_api.client().v1.charges.list({"customer": _customer(player)}).data
    paid = [one for one in charges if one.paid and one.amount_refunded < one.amount]
    if not paid:
        return "nothing paid"
    rest = paid[0].amount - paid[0].amount_refunded
    how: Any = {"charge": paid[0].id, "amount": luck.choice((rest, max(rest // 2, 1)))}
    stripe_api.client().v1.refunds.create(how)
    return "refunded"


def dispute(world: World, player: Player, luck: random.Random) -> str:
    world.stage.simulator.dispute(_customer(player))
    return "disputed"


def _subscription(world: World, player: Player) -> Json:
    customer = _customer(player)
    for one in world.stage.simulator.state("subscription"):
        if one["customer"] == customer and one["status"] not in ("canceled", "incomplete_expired"):
            return one
    raise CardDeclined("There is no subscription.")


def _customer(player: Player) -> str:
    found = player.customer
    if found is None:
        raise CardDeclined("There is no customer.")
    return found


ACTS: Final[dict[str, Act]] = {
    "checkout": buy,
    "leave page": leave_page,
    "pack": pack,
    "seats": seats,
    "another plan": another_plan,
    "addon": addon,
    "cancel": cancel,
    "keep": keep,
    "promotion": promotion,
    "portal": portal_of_stripe,
    "trial": trial,
    "extra usage": extra_usage,
    "grant": grant,
    "card": card,
    "pay": pay,
    "end now": end_now,
    "refund": refund,
    "dispute": dispute,
}
