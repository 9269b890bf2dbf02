"""What happens to a subscription at the edges of its periods, by itself."""

from tests.stripe_simulator.lifecycle import (
    collection,
    discounts,
    invoices,
    preview,
    standing,
    usage_lines,
)
from tests.stripe_simulator.lifecycle import subscriptions as starting
from tests.stripe_simulator.lifecycle.changes import issue, open_update_bill
from tests.stripe_simulator.lifecycle.invoices import Bill
from tests.stripe_simulator.periods import add_interval
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


def cross_boundary(sim: Simulator, subscription: Obj) -> None:
    """The end of a period or trial: the subscription ends, pauses or begins another period."""
    begin, end = standing.period_of(sim, subscription)
    if subscription["cancel_at_period_end"] or (subscription["cancel_at"] or end + 1) <= end:
        _bill_last_usage(sim, subscription, (begin, end))
        standing.cancel(sim, subscription, "cancellation_requested")
        return
    if subscription["status"] == "trialing" and _trial_stops(sim, subscription):
        return
    previous: Obj = {"latest_invoice": subscription["latest_invoice"]}
    if subscription["status"] == "trialing":
        previous |= {"status": "trialing", "billing_cycle_anchor": end}
        subscription["status"] = "active"
        subscription["billing_cycle_anchor"] = end
    _begin_period(sim, subscription, end)
    previous["items"] = {
        "object": "list",
        "data": [{"current_period_start": begin, "current_period_end": end}],
    }
    _bill_period(sim, subscription, (begin, end))
    sim.emit("customer.subscription.updated", subscription, previous)


def cancel_as_planned(sim: Simulator, subscription: Obj) -> None:
    """`cancel_at` before the end of the period."""
    begin, _ = standing.period_of(sim, subscription)
    _bill_last_usage(sim, subscription, (begin, sim.now(subscription)))
    standing.cancel(sim, subscription, "cancellation_requested")


def warn_of_trial_end(sim: Simulator, subscription: Obj) -> None:
    subscription["_sim"]["warned_of"] = subscription["trial_end"]
    sim.emit("customer.subscription.trial_will_end", subscription)


def announce_next_invoice(sim: Simulator, subscription: Obj) -> None:
    """invoice.upcoming, some days before the renewal."""
    end = standing.period_of(sim, subscription)[1]
    subscription["_sim"]["announced"] = end
    invoice = preview.preview(sim, {"subscription": subscription["id"]})
    sim.emit("invoice.upcoming", invoice)


def resume(sim: Simulator, subscription: Obj) -> None:
    """A paused subscription begins a new period today and pays for it."""
    _begin_period(sim, subscription, sim.now(subscription))
    subscription["billing_cycle_anchor"] = sim.now(subscription)
    subscription["status"] = "active"
    bill = open_update_bill(sim, subscription, "subscription_update")
    _write_period(sim, subscription, bill)
    sim.emit("customer.subscription.resumed", subscription)
    issue(sim, subscription, bill)
    sim.emit("customer.subscription.updated", subscription, {"status": "paused"})


def mark_overdue(sim: Simulator, invoice: Obj) -> None:
    """An invoice that was sent and not paid by its due date."""
    invoice["_sim"]["overdue"] = True
    sim.emit("invoice.overdue", invoice)
    subscription = collection.subscription_of(sim, invoice)
    if subscription and subscription["status"] == "active":
        standing.change(sim, subscription, status="past_due")


def unpause_collection(sim: Simulator, subscription: Obj) -> None:
    standing.change(sim, subscription, pause_collection=None)


def _trial_stops(sim: Simulator, subscription: Obj) -> bool:
    """Without a way to pay, the trial's settings may cancel or pause."""
    customer = sim.find("customer", subscription["customer"])
    method = (
        subscription["default_payment_method"]
        or customer["invoice_settings"]["default_payment_method"]
    )
    if method or subscription["collection_method"] == "send_invoice":
        return False
    match subscription["trial_settings"]["end_behavior"]["missing_payment_method"]:
        case "cancel":
            standing.cancel(sim, subscription, "cancellation_requested")
            return True
        case "pause":
            subscription["status"] = "paused"
            sim.emit("customer.subscription.paused", subscription)
            return True
        case _:
            return False


def _begin_period(sim: Simulator, subscription: Obj, start: int) -> None:
    item = standing.items_of(sim, subscription)[0]
    recurring = sim.find("price", item["price"])["recurring"]
    anchor = subscription["billing_cycle_anchor"]
    starting.set_period(sim, subscription, start, add_interval(start, recurring, anchor))
    subscription["_sim"].pop("announced", None)


def _bill_period(sim: Simulator, subscription: Obj, passed: tuple[int, int]) -> None:
    """The draft at the boundary: the next period in advance, usage of the last in arrears."""
    bill = open_update_bill(sim, subscription, "subscription_cycle")
    bill.invoice["period_start"], bill.invoice["period_end"] = passed
    if subscription["status"] == "unpaid":
        bill.invoice["auto_advance"] = False
    usage_lines.write(sim, subscription, bill, passed)
    _write_period(sim, subscription, bill)
    _write_pending(sim, subscription, bill)
    invoices.total(sim, bill)
    invoice = invoices.keep(
        sim,
        bill,
        subscription=subscription["id"],
        days_until_due=subscription["days_until_due"] or 30,
    )
    subscription["latest_invoice"] = invoice["id"]
    starting.drop_used_discounts(sim, subscription)
    _drop_ended_discounts(sim, subscription)
    _apply_pause(sim, subscription, invoice)


def _apply_pause(sim: Simulator, subscription: Obj, invoice: Obj) -> None:
    """pause_collection keeps the draft, voids it or writes it off."""
    paused = subscription["pause_collection"]
    if not paused:
        return
    invoice["auto_advance"] = False
    invoice["automatically_finalizes_at"] = None
    if paused["behavior"] == "void":
        invoices.void(sim, invoice)
    elif paused["behavior"] == "mark_uncollectible":
        invoices.finalize(sim, invoice)
        invoice["status"] = "uncollectible"
        invoice["status_transitions"]["marked_uncollectible_at"] = sim.now(invoice)
        sim.emit("invoice.marked_uncollectible", invoice)


def _write_period(sim: Simulator, subscription: Obj, bill: Bill) -> None:
    begin, end = subscription["_sim"]["period"]
    for item in standing.items_of(sim, subscription):
        sold = starting.sold_by(sim, item)
        if sold.price["recurring"]["usage_type"] == "licensed":
            starting.write_period(sim, bill, sold, (begin, end))


def _write_pending(sim: Simulator, subscription: Obj, bill: Bill) -> None:
    """Prorations that waited for the renewal."""
    for item in sim.store.where("invoiceitem", customer=subscription["customer"], invoice=None):
        owner = (item.get("_sim") or {}).get("subscription")
        if owner in {subscription["id"], None}:
            preview.write_invoice_item(sim, bill, item)


def _bill_last_usage(sim: Simulator, subscription: Obj, passed: tuple[int, int]) -> None:
    """Metered usage and waiting prorations are due even when nothing follows."""
    bill = open_update_bill(sim, subscription, "subscription_cycle")
    bill.invoice["period_start"], bill.invoice["period_end"] = passed
    usage_lines.write(sim, subscription, bill, passed)
    bill.lines[:] = [line for line in bill.lines if line["amount"] or line["quantity"]]
    if _has_pending(sim, subscription):
        _write_pending(sim, subscription, bill)
    if bill.lines:
        issue(sim, subscription, bill)


def _has_pending(sim: Simulator, subscription: Obj) -> bool:
    waiting = sim.store.scan("invoiceitem", customer=subscription["customer"], invoice=None)
    return any(item["_sim"].get("subscription") == subscription["id"] for item in waiting)


def _drop_ended_discounts(sim: Simulator, subscription: Obj) -> None:
    for key in list(subscription["discounts"]):
        discount = sim.find("discount", key)
        if not discounts.is_running(sim, discount, sim.now(subscription)):
            subscription["discounts"].remove(key)
            sim.emit("customer.discount.deleted", discount)
