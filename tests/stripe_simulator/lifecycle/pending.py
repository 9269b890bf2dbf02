"""Changes that wait for their payment: `payment_behavior=pending_if_incomplete`.

The invoice is written at once; until it is paid the subscription stays what it was, and after
Stripe's 23 hours the change is forgotten and its invoice void.
"""

import copy

from stripe import Subscription

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import changes, collection, invoices, standing
from tests.stripe_simulator.lifecycle.sequences import CHANGE_INVOICED
from tests.stripe_simulator.shapes import blank
from tests.stripe_simulator.simulator import HOUR, Simulator
from tests.stripe_simulator.store import Obj

LIFETIME = 23 * HOUR
ALLOWED = {
    "add_invoice_items", "billing_cycle_anchor", "expand", "items", "payment_behavior",
    "proration_behavior", "proration_date", "trial_end", "trial_from_plan",
}  # fmt: skip


def update(sim: Simulator, subscription: Obj, params: Obj) -> None:
    """Apply what is paid at once; keep what is not for later."""
    refused = sorted(set(params) - ALLOWED)
    if refused:
        raise StripeError(
            f"You cannot use `{refused[0]}` with payment_behavior `pending_if_incomplete`.",
            param=refused[0],
        )
    if subscription["pending_update"]:
        forget(sim, subscription)
    before, latest = _photograph(sim, subscription), subscription["latest_invoice"]
    subscription["_sim"]["awaits"] = {"invoice": ""}
    with sim.sequence(CHANGE_INVOICED):
        previous = changes.change_items(sim, subscription, params)
        invoice = sim.store.get("invoice", subscription["latest_invoice"] or "")
        if invoice is None or invoice["id"] == latest or not _is_unpaid(sim, invoice):
            del subscription["_sim"]["awaits"]
        else:
            _hold(sim, subscription, before, invoice)
            previous = {"pending_update": None, "latest_invoice": latest}
        sim.emit("customer.subscription.updated", subscription, previous)


def apply(sim: Simulator, subscription: Obj, invoice: Obj) -> None:
    """The invoice of a waiting change was paid."""
    awaits = subscription["_sim"].get("awaits")
    if not awaits or awaits["invoice"] != invoice["id"]:
        return
    previous = {"pending_update": subscription["pending_update"]}
    del subscription["_sim"]["awaits"]
    subscription["pending_update"] = None
    _restore(sim, subscription, awaits["after"])
    sim.emit("customer.subscription.pending_update_applied", subscription)
    sim.emit("customer.subscription.updated", subscription, previous)


def forget(sim: Simulator, subscription: Obj) -> None:
    """Nobody paid in time."""
    awaits = subscription["_sim"].pop("awaits")
    previous = {"pending_update": subscription["pending_update"]}
    subscription["pending_update"] = None
    invoice = sim.find("invoice", awaits["invoice"])
    if invoice["status"] == "open":
        invoices.void(sim, invoice)
    sim.emit("customer.subscription.pending_update_expired", subscription)
    sim.emit("customer.subscription.updated", subscription, previous)


def _is_unpaid(sim: Simulator, invoice: Obj) -> bool:
    intent = collection.intent_of(sim, invoice)
    under_way = intent is not None and intent["status"] == "processing"
    return bool(invoice["status"] == "open" and not under_way)


def _hold(sim: Simulator, subscription: Obj, before: Obj, invoice: Obj) -> None:
    after = _photograph(sim, subscription)
    _restore(sim, subscription, before)
    invoice |= {"auto_advance": False, "next_payment_attempt": None}
    expires_at = sim.now(subscription) + LIFETIME
    subscription["pending_update"] = {**blank(Subscription.PendingUpdate), "expires_at": expires_at}
    subscription["_sim"]["awaits"] = {"invoice": invoice["id"], "after": after}


def _photograph(sim: Simulator, subscription: Obj) -> Obj:
    return copy.deepcopy(
        {
            "items": standing.items_of(sim, subscription),
            "anchor": subscription["billing_cycle_anchor"],
            "period": subscription["_sim"]["period"],
        }
    )


def _restore(sim: Simulator, subscription: Obj, seen: Obj) -> None:
    for item in standing.items_of(sim, subscription):
        sim.store.remove("subscription_item", item["id"])
    for item in seen["items"]:
        sim.store.add("subscription_item", item["id"], copy.deepcopy(item))
    subscription["billing_cycle_anchor"] = seen["anchor"]
    subscription["_sim"]["period"] = seen["period"]


standing.AFTER_PAYMENT.append(apply)
