"""Payment intents, charges and what the bank says; invoices and subscriptions live above."""

from typing import Any

from tests.stripe_simulator import ids
from tests.stripe_simulator.lifecycle.cards import Verdict
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

# Card processing in the United States: 2.9 % and 30 cents.
FEE_PERMILLE, FEE_FIXED = 29, 30


def open_intent(sim: Simulator, amount: int, currency: str, **values: Any) -> Obj:
    key = ids.new_id("payment_intent")
    intent = sim.create(
        "payment_intent",
        key=key,
        amount=amount,
        currency=currency,
        status="requires_payment_method",
        capture_method="automatic",
        confirmation_method="automatic",
        client_secret=f"{key}_secret_{ids.random_text(24)}",
        amount_capturable=0,
        amount_received=0,
        amount_details={"tip": {}},
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=["card"],
        **{"metadata": {}, **values},
    )
    intent["_sim"] = {}
    sim.emit("payment_intent.created", intent)
    return intent


def confirm(sim: Simulator, intent: Obj, method: Obj | None, verdict: Verdict) -> None:
    """Ask the bank once and write down its answer, with Stripe's events."""
    intent["payment_method"] = method["id"] if method else None
    if method:
        intent["payment_method_types"] = [method["type"]]
    match verdict.status:
        case "succeeded":
            _charge(sim, intent, method, "succeeded", None)
            succeed(sim, intent)
        case "processing":
            _wait(sim, intent, method, verdict)
        case "requires_action":
            intent["status"] = "requires_action"
            intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
            sim.emit("payment_intent.requires_action", intent)
        case _:
            charge = _charge(sim, intent, method, "failed", verdict) if method else None
            fail(sim, intent, verdict, charge)


def succeed(sim: Simulator, intent: Obj) -> None:
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "next_action": None,
    }
    sim.emit("payment_intent.succeeded", intent)


def fail(sim: Simulator, intent: Obj, verdict: Verdict, charge: Obj | None) -> None:
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent["last_payment_error"] = {
        "code": verdict.code,
        "message": verdict.message,
        "type": "card_error",
    }
    if verdict.decline_code:
        intent["last_payment_error"]["decline_code"] = verdict.decline_code
    if charge:
        intent["last_payment_error"]["charge"] = charge["id"]
    sim.emit("payment_intent.payment_failed", intent)


def is_waiting(intent: Obj) -> bool:
    return bool(intent["status"] == "processing")


def settle_debit(sim: Simulator, intent: Obj, *, succeeds: bool) -> None:
    """The bank's late answer to a debit: the pending charge becomes paid or failed."""
    charge = sim.find("charge", intent["latest_charge"])
    if succeeds:
        charge |= {"status": "succeeded", "paid": True, "captured": True}
        charge["amount_captured"] = charge["amount"]
        charge["balance_transaction"] = record_movement(sim, charge, "charge", charge["amount"])
        sim.emit("charge.succeeded", charge)
        succeed(sim, intent)
        return
    verdict = Verdict(
        status="failed",
        code="insufficient_funds",
        message="The customer's account has insufficient funds to cover this payment.",
    )
    _refuse(charge, verdict)
    sim.emit("charge.failed", charge)
    fail(sim, intent, verdict, charge)


def refund(sim: Simulator, charge: Obj, amount: int, **values: Any) -> Obj:
    """Give money of a charge back; the caller has checked that so much is left."""
    one = sim.create(
        "refund",
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        status="succeeded",
        created=sim.now(charge),
        destination_details={
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        **{"metadata": {}, "reason": None, **values},
    )
    one["balance_transaction"] = record_movement(sim, one, "refund", -amount)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    sim.emit("refund.created", one)
    sim.emit("charge.refunded", charge)
    sim.emit("refund.updated", one)
    sim.emit("charge.refund.updated", one)
    return one


def record_movement(sim: Simulator, source: Obj, kind: str, amount: int) -> str:
    """Book an amount on the account's balance; return the balance transaction's id."""
    fee = (amount * FEE_PERMILLE // 1000 + FEE_FIXED) if kind == "charge" else 0
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    moved = sim.create(
        "balance_transaction",
        amount=amount,
        available_on=source["created"] + 2 * 86_400,
        balance_type="payments",
        created=source["created"],
        currency=source["currency"],
        fee=fee,
        fee_details=details if fee else [],
        net=amount - fee,
        reporting_category=kind,
        source=source["id"],
        status="pending",
        type=kind,
    )
    return str(moved["id"])


def _wait(sim: Simulator, intent: Obj, method: Obj | None, verdict: Verdict) -> None:
    charge = _charge(sim, intent, method, "pending", None)
    has_clock = sim.clock_of(intent) is not None
    name = "bank_debit_seconds" if has_clock else "bank_debit_seconds_without_clock"
    intent["status"] = "processing"
    intent["_sim"] |= {
        "settles_at": sim.now(intent) + sim.options[name],
        "succeeds": verdict.code is None,
    }
    sim.emit("payment_intent.processing", intent)
    sim.emit("charge.pending", charge)


def _charge(
    sim: Simulator, intent: Obj, method: Obj | None, status: str, verdict: Verdict | None
) -> Obj:
    assert method is not None
    paid = status == "succeeded"
    customer = sim.store.get("customer", intent["customer"] or "") or {}
    key = ids.new_id("charge")
    charge = sim.create(
        "charge",
        key=key,
        amount=intent["amount"],
        amount_captured=intent["amount"] if paid else 0,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="LEDGERLINE SIMULATOR",
        captured=paid,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        fraud_details={},
        metadata=dict(intent["metadata"]),
        outcome=_outcome(verdict),
        paid=paid,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details=_details(method),
        receipt_email=customer.get("email"),
        receipt_url=sim.url(f"/receipts/{key}"),
        status=status,
        created=sim.now(intent),
    )
    if verdict:
        _refuse(charge, verdict)
    if paid:
        charge["balance_transaction"] = record_movement(sim, charge, "charge", charge["amount"])
    intent["latest_charge"] = charge["id"]
    if status != "pending":
        sim.emit(f"charge.{status}", charge)
    return charge


def _refuse(charge: Obj, verdict: Verdict) -> None:
    charge |= {
        "status": "failed",
        "paid": False,
        "failure_code": verdict.code,
        "failure_message": verdict.message,
        "outcome": _outcome(verdict),
    }


def _outcome(verdict: Verdict | None) -> Obj:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if verdict else "approved_by_network",
        "reason": verdict.decline_code if verdict else None,
        "risk_level": "normal",
        "seller_message": verdict.message if verdict else "Payment complete.",
        "type": "issuer_declined" if verdict else "authorized",
    }


def _details(method: Obj) -> Obj:
    """The charge's copy of the card or account: its public marks only."""
    kind = method["type"]
    names, more = _PUBLIC_MARKS[kind]
    return {"type": kind, kind: {**more, **{name: method[kind][name] for name in names}}}


_DEBIT: Obj = {"payment_reference": None}
_CARD: Obj = {
    "amount_authorized": None,
    "installments": None,
    "mandate": None,
    "network": "visa",
    "network_transaction_id": None,
    "regulated_status": "unregulated",
    "three_d_secure": None,
    "transaction_link_id": None,
    "wallet": None,
}


_PUBLIC_MARKS: dict[str, tuple[tuple[str, ...], Obj]] = {
    "card": (
        ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4"),
        _CARD,
    ),
    "us_bank_account": (
        ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4",
         "routing_number"),
        _DEBIT,
    ),
}  # fmt: skip
