"""Payment intents, setup intents, charges, refunds and the account's balance."""

from tests.stripe_simulator import ids
from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.lifecycle import cards, payments
from tests.stripe_simulator.routing import Call, assign, endpoint, metadata_of
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/payment_intents")
def create_intent(call: Call) -> Obj:
    sim, params = call.sim, call.params
    customer = params.get("customer")
    if customer:
        sim.find_live("customer", customer, "customer")
    intent = payments.open_intent(
        sim,
        params["amount"],
        params["currency"].lower(),
        customer=customer,
        description=params.get("description"),
        metadata=metadata_of(params),
        payment_method=params.get("payment_method"),
        setup_future_usage=params.get("setup_future_usage"),
    )
    if params.get("confirm"):
        _confirm(sim, intent, params.get("payment_method"))
    return call.shown(intent)


@endpoint("GET", "/v1/payment_intents")
def list_intents(call: Call) -> Obj:
    return call.filtered("payment_intent", "customer")


@endpoint("GET", "/v1/payment_intents/{intent}")
def retrieve_intent(call: Call) -> Obj:
    return call.shown(call.sim.find("payment_intent", call.path["intent"]))


@endpoint("POST", "/v1/payment_intents/{intent}")
def update_intent(call: Call) -> Obj:
    intent = call.sim.find("payment_intent", call.path["intent"])
    assign(intent, call.params, "amount", "description", "receipt_email", "payment_method")
    return call.shown(intent)


@endpoint("POST", "/v1/payment_intents/{intent}/confirm")
def confirm_intent(call: Call) -> Obj:
    intent = call.sim.find("payment_intent", call.path["intent"])
    _confirm(call.sim, intent, call.params.get("payment_method") or intent["payment_method"])
    return call.shown(intent)


@endpoint("POST", "/v1/payment_intents/{intent}/cancel")
def cancel_intent(call: Call) -> Obj:
    intent = call.sim.find("payment_intent", call.path["intent"])
    if intent["status"] in {"succeeded", "canceled"}:
        raise StripeError(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    intent |= {
        "status": "canceled",
        "canceled_at": call.sim.now(intent),
        "cancellation_reason": call.params.get("cancellation_reason"),
    }
    call.sim.emit("payment_intent.canceled", intent)
    return call.shown(intent)


@endpoint("POST", "/v1/setup_intents")
def create_setup(call: Call) -> Obj:
    sim, params = call.sim, call.params
    key = ids.new_id("setup_intent")
    method = params.get("payment_method")
    intent = sim.create(
        "setup_intent",
        key=key,
        client_secret=f"{key}_secret_{ids.random_text(24)}",
        customer=params.get("customer"),
        metadata=metadata_of(params),
        payment_method=method,
        payment_method_types=params.get("payment_method_types") or ["card"],
        status="requires_confirmation" if method else "requires_payment_method",
        usage=params.get("usage", "off_session"),
    )
    sim.emit("setup_intent.created", intent)
    if params.get("confirm") and method:
        _set_up(sim, intent, method)
    return call.shown(intent)


@endpoint("GET", "/v1/setup_intents")
def list_setups(call: Call) -> Obj:
    return call.filtered("setup_intent", "customer", "payment_method")


@endpoint("GET", "/v1/setup_intents/{intent}")
def retrieve_setup(call: Call) -> Obj:
    return call.shown(call.sim.find("setup_intent", call.path["intent"]))


@endpoint("POST", "/v1/setup_intents/{intent}/confirm")
def confirm_setup(call: Call) -> Obj:
    intent = call.sim.find("setup_intent", call.path["intent"])
    method = call.params.get("payment_method") or intent["payment_method"]
    if not method:
        raise StripeError("A payment method is needed.", param="payment_method")
    _set_up(call.sim, intent, method)
    return call.shown(intent)


@endpoint("POST", "/v1/setup_intents/{intent}/cancel")
def cancel_setup(call: Call) -> Obj:
    intent = call.sim.find("setup_intent", call.path["intent"])
    intent |= {"status": "canceled", "cancellation_reason": call.params.get("cancellation_reason")}
    call.sim.emit("setup_intent.canceled", intent)
    return call.shown(intent)


@endpoint("GET", "/v1/charges")
def list_charges(call: Call) -> Obj:
    return call.filtered("charge", "customer", "payment_intent")


@endpoint("GET", "/v1/charges/{charge}")
def retrieve_charge(call: Call) -> Obj:
    return call.shown(call.sim.find("charge", call.path["charge"]))


@endpoint("POST", "/v1/charges/{charge}")
def update_charge(call: Call) -> Obj:
    charge = call.sim.find("charge", call.path["charge"])
    previous = assign(charge, call.params, "description", "receipt_email")
    if previous:
        call.sim.emit("charge.updated", charge, previous)
    return call.shown(charge)


@endpoint("POST", "/v1/refunds")
def create_refund(call: Call) -> Obj:
    sim, params = call.sim, call.params
    charge = _charge_to_refund(sim, params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise StripeError(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = int(params.get("amount") or left)
    if amount > left:
        raise StripeError(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    refund = payments.refund(
        sim, charge, amount, reason=params.get("reason"), metadata=metadata_of(params)
    )
    return call.shown(refund)


@endpoint("GET", "/v1/refunds")
def list_refunds(call: Call) -> Obj:
    return call.filtered("refund", "charge", "payment_intent")


@endpoint("GET", "/v1/refunds/{refund}")
def retrieve_refund(call: Call) -> Obj:
    return call.shown(call.sim.find("refund", call.path["refund"]))


@endpoint("GET", "/v1/balance_transactions/{id}")
def retrieve_movement(call: Call) -> Obj:
    return call.shown(call.sim.find("balance_transaction", call.path["id"]))


@endpoint("GET", "/v1/balance_transactions")
def list_movements(call: Call) -> Obj:
    return call.filtered("balance_transaction", "source", "type", "currency")


def _confirm(sim: Simulator, intent: Obj, key: str | None) -> None:
    if key is None:
        raise StripeError(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    if key.startswith("pm_card_"):
        method = cards.named_payment_method(sim, key)
    else:
        method = sim.find("payment_method", key, "payment_method")
    verdict = cards.verdict_of(sim, method)
    payments.confirm(sim, intent, method, verdict)
    if verdict.status == "failed":
        raise verdict.refusal()


def _set_up(sim: Simulator, intent: Obj, key: str) -> None:
    named = key.startswith("pm_card_")
    method = (
        cards.named_payment_method(sim, key)
        if named
        else sim.find("payment_method", key, "payment_method")
    )
    if cards.refuses_to_be_saved(method):
        intent["status"] = "requires_payment_method"
        sim.emit("setup_intent.setup_failed", intent)
        raise cards.VERDICTS[method["_sim"]["behaviour"]].refusal()
    if intent["customer"] and method["customer"] is None:
        method["customer"] = intent["customer"]
        sim.emit("payment_method.attached", method)
    method["_sim"]["authenticated"] = True
    intent |= {"status": "succeeded", "payment_method": method["id"]}
    sim.emit("setup_intent.succeeded", intent)


def _charge_to_refund(sim: Simulator, params: Obj) -> Obj:
    key = params.get("charge")
    if params.get("payment_intent"):
        intent = sim.find("payment_intent", params["payment_intent"], "payment_intent")
        key = intent["latest_charge"]
        if key is None:
            raise StripeError("This PaymentIntent does not have a successful charge to refund.")
    if not key:
        raise StripeError("One of the following params should be provided: charge, payment_intent.")
    charge = sim.find("charge", key, "charge")
    if charge["status"] != "succeeded":
        raise missing("charge", key, "charge")
    return charge
