"""Collecting an invoice: the attempt, the retries after a refusal, and what they end in."""

from tests.stripe_simulator.lifecycle import invoices, payments, standing
from tests.stripe_simulator.lifecycle.cards import VERDICTS, Verdict, verdict_of
from tests.stripe_simulator.simulator import DAY, HOUR, Simulator
from tests.stripe_simulator.store import Obj

FIRST_INVOICE = "subscription_create"
# An unpaid first invoice gives up after Stripe's 23 hours.
INCOMPLETE_LIFETIME = 23 * HOUR


def collect(
    sim: Simulator,
    invoice: Obj,
    method: Obj | None = None,
    verdict: Verdict | None = None,
    *,
    by_hand: bool = False,
) -> Verdict:
    """One attempt at an open invoice; after the first, attempts by hand move no retry."""
    if invoice["amount_remaining"] == 0:
        mark_paid(sim, invoice)
        return VERDICTS["success"]
    method = method or method_for(sim, invoice)
    verdict = verdict or verdict_of(sim, method)
    intent = intent_of(sim, invoice) or _open_payment(sim, invoice)
    invoice["attempted"] = True
    counts = not by_hand or invoice["attempt_count"] == 0
    invoice["attempt_count"] += 1 if counts else 0
    payments.confirm(sim, intent, method, verdict)
    if verdict.status == "succeeded":
        mark_paid(sim, invoice)
    elif verdict.status == "processing":
        invoice["next_payment_attempt"] = None
    else:
        record_failure(sim, invoice, verdict, planned=counts)
    return verdict


def mark_paid(sim: Simulator, invoice: Obj, *, late: bool = False) -> None:
    """The invoice is settled; its subscription comes back to life if it had stopped for it."""
    moment = sim.now(invoice)
    at_once = invoice["billing_reason"] == FIRST_INVOICE and invoice["attempt_count"] <= 1
    invoice |= {
        "status": "paid",
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
    }
    invoice["status_transitions"]["paid_at"] = moment
    if invoice["amount_due"] and (late or not at_once):
        sim.emit("invoice.updated", invoice)
    sim.emit("invoice.paid", invoice)
    sim.emit("invoice.payment_succeeded", invoice)
    subscription = subscription_of(sim, invoice)
    if subscription:
        standing.activate_after_payment(sim, subscription, invoice)
    for payment in sim.store.where("invoice_payment", invoice=invoice["id"], status="open"):
        payment |= {"status": "paid", "amount_paid": payment["amount_requested"]}
        payment["status_transitions"]["paid_at"] = moment
        sim.emit("invoice_payment.paid", payment)


def record_failure(sim: Simulator, invoice: Obj, verdict: Verdict, *, planned: bool = True) -> None:
    """Plan the next attempt, or give up; then the subscription answers for it."""
    subscription = subscription_of(sim, invoice)
    if planned:
        invoice["next_payment_attempt"] = _next_attempt(sim, invoice, subscription)
    sim.emit("invoice.updated", invoice)
    if verdict.status == "requires_action":
        sim.emit("invoice.payment_action_required", invoice)
    sim.emit("invoice.payment_failed", invoice)
    if subscription is None or subscription["status"] in {*standing.ENDED, "incomplete"}:
        return
    exhausted = planned and invoice["next_payment_attempt"] is None and invoice["auto_advance"]
    if exhausted and invoice["billing_reason"] != FIRST_INVOICE:
        _give_up(sim, subscription)
    elif subscription["status"] == "active" and not subscription["_sim"].get("awaits"):
        standing.change(sim, subscription, status="past_due")


def settle_debit(sim: Simulator, intent: Obj) -> None:
    """The bank's late answer reaches the invoice, its subscription and its Checkout session."""
    succeeds = bool(intent["_sim"]["succeeds"])
    session = _session_of(sim, intent)
    payments.settle_debit(sim, intent, succeeds=succeeds)
    if session:
        session["payment_status"] = "paid" if succeeds else "unpaid"
        outcome = "succeeded" if succeeds else "failed"
        sim.emit(f"checkout.session.async_payment_{outcome}", session)
    for payment in sim.store.scan("invoice_payment"):
        if payment["payment"].get("payment_intent") == intent["id"]:
            invoice = sim.find("invoice", payment["invoice"])
            if succeeds:
                mark_paid(sim, invoice, late=True)
            else:
                record_failure(sim, invoice, Verdict(status="failed"))


def method_for(sim: Simulator, invoice: Obj) -> Obj | None:
    """The invoice's own method, else the subscription's, else the customer's default."""
    subscription = subscription_of(sim, invoice)
    customer = sim.find("customer", invoice["customer"])
    key = (
        invoice["default_payment_method"]
        or (subscription or {}).get("default_payment_method")
        or (customer.get("invoice_settings") or {}).get("default_payment_method")
    )
    found = sim.store.get("payment_method", key) if key else None
    return found if found and found["customer"] == customer["id"] else None


def intent_of(sim: Simulator, invoice: Obj) -> Obj | None:
    """The payment intent of an invoice that was attempted before."""
    for payment in sim.store.where("invoice_payment", invoice=invoice["id"], is_default=True):
        key = payment["payment"].get("payment_intent")
        if key:
            return sim.find("payment_intent", key)
    return None


def subscription_of(sim: Simulator, invoice: Obj) -> Obj | None:
    return sim.store.get("subscription", invoices.subscription_of(invoice) or "")


def _open_payment(sim: Simulator, invoice: Obj) -> Obj:
    intent = payments.open_intent(
        sim,
        invoice["amount_remaining"],
        invoice["currency"],
        customer=invoice["customer"],
        description=f"Payment for invoice {invoice['number']}",
        setup_future_usage="off_session",
    )
    sim.create(
        "invoice_payment",
        amount_requested=invoice["amount_remaining"],
        created=sim.now(invoice),
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
    )
    return intent


def _next_attempt(sim: Simulator, invoice: Obj, subscription: Obj | None) -> int | None:
    """Retry days are counted from the attempt before; a first invoice is not retried."""
    waits: list[int] = sim.options["dunning_days"]
    done = invoice["attempt_count"]
    unretried = invoice["billing_reason"] == FIRST_INVOICE or not invoice["auto_advance"]
    ended = subscription is not None and subscription["status"] in standing.ENDED
    if unretried or ended or done > len(waits) or done == 0:
        return None
    moment: int = sim.now(invoice) + waits[done - 1] * DAY
    return moment


def _give_up(sim: Simulator, subscription: Obj) -> None:
    """Retries are used up: the account's setting says what becomes of the subscription."""
    match sim.options["dunning_exhausted"]:
        case "cancel":
            standing.cancel(sim, subscription, "payment_failed")
        case "unpaid":
            standing.change(sim, subscription, status="unpaid")
        case _:
            standing.change(sim, subscription, status="past_due")


def _session_of(sim: Simulator, intent: Obj) -> Obj | None:
    for session in sim.store.where("checkout.session", customer=intent["customer"]):
        if intent["id"] in {session["payment_intent"], session["_sim"].get("payment_intent")}:
            return session
    return None
