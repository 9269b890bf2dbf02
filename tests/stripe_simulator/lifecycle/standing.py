"""A subscription's status and the ways it changes; each change tells what it was before."""

from collections.abc import Callable
from typing import Any

from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

ENDED = {"canceled", "incomplete_expired"}
# What else waits for a subscription's invoice to be paid.
AFTER_PAYMENT: list[Callable[[Simulator, Obj, Obj], None]] = []


def change(sim: Simulator, subscription: Obj, **values: Any) -> None:
    """Set fields and tell of it, unless nobody has heard of the subscription yet."""
    previous = {
        name: subscription[name] for name, value in values.items() if subscription[name] != value
    }
    subscription |= values
    if previous and not subscription["_sim"].get("unannounced"):
        sim.emit("customer.subscription.updated", subscription, previous)


def activate_after_payment(sim: Simulator, subscription: Obj, invoice: Obj) -> None:
    """Paying the first or the latest invoice brings a subscription back to active."""
    status = subscription["status"]
    is_latest = subscription["latest_invoice"] == invoice["id"]
    if status == "incomplete" or (status in {"past_due", "unpaid"} and is_latest):
        change(sim, subscription, status="active")
    for follow in AFTER_PAYMENT:
        follow(sim, subscription, invoice)


def cancel(
    sim: Simulator, subscription: Obj, reason: str | None, details: Obj | None = None
) -> None:
    """End it now. Drafts and open invoices stay, but nobody collects them any more."""
    moment = sim.now(subscription)
    subscription |= {
        "status": "canceled",
        "ended_at": moment,
        "canceled_at": subscription["canceled_at"] or moment,
    }
    subscription["cancellation_details"] |= {"reason": reason, **(details or {})}
    for invoice in sim.store.where("invoice", customer=subscription["customer"]):
        belongs = invoice["_sim"].get("subscription") == subscription["id"]
        if belongs and invoice["status"] in {"draft", "open"}:
            invoice["auto_advance"] = False
            invoice["next_payment_attempt"] = None
            invoice["automatically_finalizes_at"] = None
    _end_schedule(sim, subscription)
    sim.emit("customer.subscription.deleted", subscription)


def _end_schedule(sim: Simulator, subscription: Obj) -> None:
    """A schedule has nothing left to change."""
    schedule = sim.store.get("subscription_schedule", subscription["schedule"] or "")
    if schedule and schedule["status"] == "active":
        schedule |= {
            "status": "canceled",
            "canceled_at": sim.now(subscription),
            "current_phase": None,
        }
        subscription["schedule"] = None
        sim.emit("subscription_schedule.canceled", schedule)


def items_of(sim: Simulator, subscription: Obj) -> list[Obj]:
    return sim.store.where("subscription_item", subscription=subscription["id"])


def period_of(sim: Simulator, subscription: Obj) -> tuple[int, int]:
    item = items_of(sim, subscription)[0]
    return item["current_period_start"], item["current_period_end"]
