"""Customers and the payment methods they keep."""

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import cards, invoices, standing
from tests.stripe_simulator.lifecycle.customers import create_customer, write_details
from tests.stripe_simulator.resources.catalog import bury
from tests.stripe_simulator.routing import Call, assign, endpoint, metadata_of
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/customers")
def create(call: Call) -> Obj:
    sim, params = call.sim, call.params
    customer = create_customer(sim, params)
    if params.get("payment_method"):
        method = _usable(sim, params["payment_method"])
        _attach(sim, method, customer)
        customer["invoice_settings"]["default_payment_method"] = None
    for wanted in params.get("tax_id_data") or []:
        add_tax_id(sim, customer["id"], wanted)
    return call.shown(customer)


@endpoint("GET", "/v1/customers")
def list_customers(call: Call) -> Obj:
    clock = call.params.get("test_clock")
    email = call.params.get("email")
    return (
        call.listed(
            one
            for one in call.sim.store.scan("customer")
            if not one.get("deleted")
            and one["test_clock"] == clock
            and email in {None, one["email"]}
        )
        if clock or not email
        else call.filtered("customer", "email")
    )


@endpoint("GET", "/v1/customers/{customer}")
def retrieve(call: Call) -> Obj:
    return call.shown(call.sim.find("customer", call.path["customer"]))


@endpoint("POST", "/v1/customers/{customer}")
def update(call: Call) -> Obj:
    customer = call.sim.find_live("customer", call.path["customer"])
    previous = write_details(call.sim, customer, call.params)
    previous |= assign(customer, {k: v for k, v in call.params.items() if k == "metadata"})
    if previous:
        call.sim.emit("customer.updated", customer, previous)
    return call.shown(customer)


@endpoint("DELETE", "/v1/customers/{customer}")
def delete(call: Call) -> Obj:
    sim = call.sim
    customer = sim.find_live("customer", call.path["customer"])
    for subscription in sim.store.where("subscription", customer=customer["id"]):
        if subscription["status"] not in standing.ENDED:
            standing.cancel(sim, subscription, "cancellation_requested")
    for method in sim.store.where("payment_method", customer=customer["id"]):
        method["customer"] = None
    sim.emit("customer.deleted", customer)
    return bury(customer)


@endpoint("GET", "/v1/customers/{customer}/payment_methods")
def list_of_customer(call: Call) -> Obj:
    customer = call.sim.find_live("customer", call.path["customer"])
    wanted = {"type": call.params["type"]} if call.params.get("type") else {}
    return call.listed(call.sim.store.where("payment_method", customer=customer["id"], **wanted))


@endpoint("GET", "/v1/customers/{customer}/payment_methods/{payment_method}")
def retrieve_of_customer(call: Call) -> Obj:
    method = call.sim.find("payment_method", call.path["payment_method"])
    if method["customer"] != call.path["customer"]:
        raise StripeError("No such payment method", status=404, code="resource_missing")
    return call.shown(method)


@endpoint("POST", "/v1/payment_methods")
def create_method(call: Call) -> Obj:
    sim, params = call.sim, call.params
    kind = params.get("type")
    details = params.get("billing_details") or {}
    if kind == "card":
        card = params.get("card") or {}
        if card.get("token"):
            method = cards.named_payment_method(sim, card["token"])
        else:
            method = cards.create_card(sim, card.get("number", ""))
            method["card"] |= {"exp_month": card["exp_month"], "exp_year": card["exp_year"]}
    elif kind == "us_bank_account":
        account = params.get("us_bank_account") or {}
        method = cards.create_bank_account(sim, account.get("account_number", ""))
    else:
        raise StripeError(f"The simulator has no {kind} payment methods.", status=501, param="type")
    method["billing_details"] |= {k: v or None for k, v in details.items() if k != "address"}
    method["metadata"] = metadata_of(params)
    return call.shown(method)


@endpoint("GET", "/v1/payment_methods")
def list_methods(call: Call) -> Obj:
    return call.filtered("payment_method", "customer", "type")


@endpoint("GET", "/v1/payment_methods/{payment_method}")
def retrieve_method(call: Call) -> Obj:
    return call.shown(call.sim.find("payment_method", call.path["payment_method"]))


@endpoint("POST", "/v1/payment_methods/{payment_method}")
def update_method(call: Call) -> Obj:
    method = call.sim.find("payment_method", call.path["payment_method"])
    previous = assign(method, call.params, "allow_redisplay")
    for name, value in (call.params.get("billing_details") or {}).items():
        previous.setdefault("billing_details", dict(method["billing_details"]))
        method["billing_details"][name] = value or None
    for name, value in (call.params.get("card") or {}).items():
        previous.setdefault("card", {})[name] = method["card"].get(name)
        method["card"][name] = value
    if previous:
        call.sim.emit("payment_method.updated", method, previous)
    return call.shown(method)


@endpoint("POST", "/v1/payment_methods/{payment_method}/attach")
def attach(call: Call) -> Obj:
    sim = call.sim
    customer = sim.find_live("customer", call.params.get("customer", ""), "customer")
    method = _usable(sim, call.path["payment_method"])
    _attach(sim, method, customer)
    return call.shown(method)


@endpoint("POST", "/v1/payment_methods/{payment_method}/detach")
def detach(call: Call) -> Obj:
    method = call.sim.find("payment_method", call.path["payment_method"])
    detach_method(call.sim, method)
    return call.shown(method)


@endpoint("GET", "/v1/customers/{customer}/tax_ids")
def list_tax_ids(call: Call) -> Obj:
    call.sim.find_live("customer", call.path["customer"])
    return call.listed(call.sim.store.where("tax_id", customer=call.path["customer"]))


@endpoint("POST", "/v1/customers/{customer}/tax_ids")
def create_tax_id(call: Call) -> Obj:
    call.sim.find_live("customer", call.path["customer"])
    return call.shown(add_tax_id(call.sim, call.path["customer"], call.params))


@endpoint("GET", "/v1/customers/{customer}/tax_ids/{id}")
def retrieve_tax_id(call: Call) -> Obj:
    return call.shown(call.sim.find("tax_id", call.path["id"]))


@endpoint("DELETE", "/v1/customers/{customer}/tax_ids/{id}")
def delete_tax_id(call: Call) -> Obj:
    owned = call.sim.find("tax_id", call.path["id"])
    call.sim.store.remove("tax_id", owned["id"])
    call.sim.emit("customer.tax_id.deleted", owned)
    return bury(owned)


@endpoint("GET", "/v1/customers/{customer}/balance_transactions")
def list_balance(call: Call) -> Obj:
    call.sim.find_live("customer", call.path["customer"])
    moved = call.sim.store.where("customer_balance_transaction", customer=call.path["customer"])
    return call.listed(moved)


@endpoint("POST", "/v1/customers/{customer}/balance_transactions")
def move_balance(call: Call) -> Obj:
    customer = call.sim.find_live("customer", call.path["customer"])
    before = customer["balance"]
    moved = invoices.change_balance(
        call.sim,
        customer,
        call.params["amount"],
        "adjustment",
        currency=call.params["currency"],
        description=call.params.get("description"),
        metadata=metadata_of(call.params),
    )
    call.sim.emit("customer.updated", customer, {"balance": before})
    return call.shown(moved)


@endpoint("GET", "/v1/customers/{customer}/balance_transactions/{transaction}")
def retrieve_balance(call: Call) -> Obj:
    return call.shown(call.sim.find("customer_balance_transaction", call.path["transaction"]))


def detach_method(sim: Simulator, method: Obj) -> None:
    """Take a method off its customer; whatever used it as default falls back."""
    owner = method["customer"]
    if owner is None:
        raise StripeError(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
    method["customer"] = None
    customer = sim.find("customer", owner)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
    for subscription in sim.store.where(
        "subscription", customer=owner, default_payment_method=method["id"]
    ):
        subscription["default_payment_method"] = None
    sim.emit("payment_method.detached", method, {"customer": owner})


def add_tax_id(sim: Simulator, customer: str, wanted: Obj) -> Obj:
    owned = sim.create(
        "tax_id",
        country=wanted["type"][:2].upper() if wanted["type"] != "eu_vat" else wanted["value"][:2],
        customer=customer,
        owner={"type": "customer", "customer": customer},
        type=wanted["type"],
        value=wanted["value"],
        verification={"status": "pending", "verified_address": None, "verified_name": None},
    )
    sim.emit("customer.tax_id.created", owned)
    return owned


def _usable(sim: Simulator, key: str) -> Obj:
    if key.startswith(("pm_card_", "pm_usBankAccount")):
        return cards.named_payment_method(sim, key)
    return sim.find("payment_method", key, "payment_method")


def _attach(sim: Simulator, method: Obj, customer: Obj) -> None:
    if cards.refuses_to_be_saved(method):
        raise cards.VERDICTS[method["_sim"]["behaviour"]].refusal()
    if method["customer"] not in {None, customer["id"]}:
        raise StripeError(
            "The payment method you provided has already been attached to a customer."
        )
    method["customer"] = customer["id"]
    sim.emit("payment_method.attached", method)
