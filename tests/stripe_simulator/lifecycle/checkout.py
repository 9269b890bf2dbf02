"""A Checkout session: opened by the seller, shown to the buyer, completed once or expired."""

from dataclasses import dataclass, field
from typing import Any

from tests.stripe_simulator import ids
from tests.stripe_simulator.errors import StripeError, missing, required
from tests.stripe_simulator.lifecycle import (
    cards,
    collection,
    discounts,
    invoices,
    payments,
    subscriptions,
)
from tests.stripe_simulator.lifecycle.cards import Verdict
from tests.stripe_simulator.lifecycle.customers import create_customer
from tests.stripe_simulator.lifecycle.invoices import Bill
from tests.stripe_simulator.lifecycle.sequences import CHECKOUT_PAID, CHECKOUT_TRIAL
from tests.stripe_simulator.lifecycle.subscriptions import Offer
from tests.stripe_simulator.money import amount_of, price_in
from tests.stripe_simulator.routing import metadata_of
from tests.stripe_simulator.simulator import DAY, Simulator
from tests.stripe_simulator.store import Obj

SHORTEST, LONGEST = 30 * 60, DAY
ADDRESS_FIELDS = ("city", "country", "line1", "line2", "postal_code", "state")


@dataclass(kw_only=True)
class Buyer:
    """What the person on the Checkout page typed and chose."""

    behaviour: str = "success"
    challenge_passed: bool = True
    email: str | None = None
    name: str | None = None
    address: Obj = field(default_factory=dict)
    promotion_code: str | None = None


def open_session(sim: Simulator, params: Obj) -> Obj:
    mode = params.get("mode")
    if mode is None:
        raise required("mode")
    customer = _customer_of(sim, params)
    _check_parameters(params, customer)
    key = ids.new_id("checkout.session")
    offer = _offer(sim, customer, params) if mode != "setup" else None
    session = sim.create(
        "checkout.session",
        key=key,
        adaptive_pricing={"enabled": False},
        allow_promotion_codes=params.get("allow_promotion_codes"),
        automatic_tax={
            **subscriptions.tax_settings(enabled=subscriptions.wants_tax(params)),
            "provider": None,
            "status": None,
        },
        billing_address_collection=params.get("billing_address_collection"),
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        created=sim.now(customer),
        currency=offer.currency if offer else params.get("currency"),
        custom_fields=[],
        customer=customer["id"] if customer else None,
        customer_creation=_customer_creation(params, mode) if customer is None else None,
        customer_email=params.get("customer_email"),
        locale=params.get("locale"),
        metadata=metadata_of(params),
        mode=mode,
        payment_method_collection=params.get("payment_method_collection", "always")
        if mode == "subscription"
        else None,
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=params.get("payment_method_types") or ["card", "us_bank_account"],
        payment_status="no_payment_required" if mode == "setup" else "unpaid",
        shipping_options=[],
        status="open",
        success_url=params.get("success_url"),
        ui_mode="hosted_page",
        url=sim.url(f"/c/pay/{key}"),
    )
    session["automatic_tax"].pop("disabled_reason", None)
    _copy_choices(session, params)
    wanted = params.get("discounts") or []
    session["_sim"] = {"params": params, "line_items": [], "discounts": wanted, "buyer": {}}
    session["expires_at"] = _expiry(sim, session, customer, params)
    if wanted:
        session["discounts"] = [
            {"coupon": one.get("coupon"), "promotion_code": one.get("promotion_code")}
            for one in wanted
        ]
    refresh_totals(sim, session)
    return session


def refresh_totals(sim: Simulator, session: Obj, address: Obj | None = None) -> Bill | None:
    """Recount what is due, with the discount and the address known so far."""
    if session["mode"] == "setup":
        return None
    bill = _quote(sim, session, address)
    invoice = bill.invoice
    session["amount_subtotal"] = invoice["subtotal"]
    session["amount_total"] = invoice["total"]
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"]["status"] = invoice["automatic_tax"]["status"]
        session["automatic_tax"]["provider"] = "stripe"
    session["total_details"] = {
        "amount_discount": sum(one["amount"] for one in invoice["total_discount_amounts"]),
        "amount_shipping": 0,
        "amount_tax": sum(one["amount"] for one in invoice["total_taxes"]),
    }
    session["_sim"]["line_items"] = _line_items(session, bill)
    return bill


def apply_promotion(sim: Simulator, session: Obj, code: str) -> None:
    """Take the code a buyer typed; raises Stripe's sentence when it does not work."""
    if not session["allow_promotion_codes"]:
        raise StripeError("Promotion codes are not allowed on this session.")
    promotion = discounts.promotion_by_code(sim, code, session["customer"])
    _check_minimum(session, promotion)
    session["_sim"]["discounts"] = [{"promotion_code": promotion["id"]}]
    session["discounts"] = [{"coupon": None, "promotion_code": promotion["id"]}]
    refresh_totals(sim, session)


def _check_minimum(session: Obj, promotion: Obj) -> None:
    least = promotion["restrictions"]["minimum_amount"]
    currency = promotion["restrictions"]["minimum_amount_currency"]
    if least and (currency != session["currency"] or session["amount_subtotal"] < least):
        raise StripeError(
            "This promotion code cannot be redeemed because the order is below its minimum amount.",
            code="promotion_code_invalid",
            param="promotion_code",
        )


def expire(sim: Simulator, session: Obj) -> None:
    if session["status"] != "open":
        raise StripeError(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
            f"Session has a status of `{session['status']}`.",
        )
    session |= {"status": "expired", "url": None}
    sim.emit("checkout.session.expired", session)


def complete(sim: Simulator, session: Obj, buyer: Buyer) -> Obj:
    """The buyer pays. Raises Stripe's card error, with the session left open, on a refusal."""
    if session["status"] != "open":
        raise StripeError(f"This Checkout Session is {session['status']}.")
    if buyer.promotion_code:
        apply_promotion(sim, session, buyer.promotion_code)
    refresh_totals(sim, session, buyer.address)
    verdict = _bank_says(buyer)
    if verdict.status == "failed" and takes_method(session):
        _decline(sim, session, buyer, verdict)
    is_trial = session["mode"] == "subscription" and session["amount_total"] == 0
    with sim.sequence(CHECKOUT_TRIAL if is_trial else CHECKOUT_PAID):
        customer = _claim_customer(sim, session, buyer)
        method = _save_method(sim, customer, buyer) if takes_method(session) else None
        session |= {"status": "complete", "url": None}
        _COMPLETIONS[session["mode"]](sim, session, customer, method, verdict)
        session["customer_details"] = _details(customer, buyer)
        sim.emit("checkout.session.completed", session)
    return session


def redirect_url(session: Obj) -> str | None:
    target: str | None = session["success_url"]
    return target.replace("{CHECKOUT_SESSION_ID}", session["id"]) if target else None


def _subscribe(
    sim: Simulator, session: Obj, customer: Obj, method: Obj | None, verdict: Verdict
) -> None:
    params = session["_sim"]["params"]
    wanted = dict(params.get("subscription_data") or {})
    wanted |= {
        "items": _items(params),
        "currency": session["currency"],
        "automatic_tax": {"enabled": session["automatic_tax"]["enabled"]},
        "discounts": session["_sim"]["discounts"],
        "default_payment_method": method["id"] if method else None,
    }
    subscription = subscriptions.start(sim, customer, wanted, verdict=verdict)
    invoice = sim.find("invoice", subscription["latest_invoice"])
    session |= {
        "subscription": subscription["id"],
        "invoice": invoice["id"],
        "amount_subtotal": invoice["subtotal"],
        "amount_total": invoice["total"],
        "payment_status": _payment_status(invoice),
    }
    for payment in sim.store.where("invoice_payment", invoice=invoice["id"]):
        session["_sim"]["payment_intent"] = payment["payment"]["payment_intent"]
    if subscription["trial_end"] and method:
        _set_up(sim, session, customer, method, keep=False)


def _pay_once(
    sim: Simulator, session: Obj, customer: Obj, method: Obj | None, verdict: Verdict
) -> None:
    data = session["_sim"]["params"].get("payment_intent_data") or {}
    for wanted in session["_sim"]["discounts"]:
        discounts.redeem(sim, wanted, customer=customer["id"], checkout_session=session["id"])
    if session["amount_total"] == 0:
        session["payment_status"] = "no_payment_required"
        return
    if (session["_sim"]["params"].get("invoice_creation") or {}).get("enabled"):
        _pay_by_invoice(sim, session, customer, method, verdict)
        return
    intent = payments.open_intent(
        sim,
        session["amount_total"],
        session["currency"],
        customer=customer["id"],
        metadata=metadata_of(data),
        description=data.get("description"),
    )
    payments.confirm(sim, intent, method, verdict)
    session["payment_intent"] = intent["id"]
    session["payment_status"] = "paid" if intent["status"] == "succeeded" else "unpaid"


def _pay_by_invoice(
    sim: Simulator, session: Obj, customer: Obj, method: Obj | None, verdict: Verdict
) -> None:
    """`invoice_creation`: the one payment is an invoice like any other, paid as it is made."""
    bill = _quote(sim, session, None)
    bill.customer = customer
    data = session["_sim"]["params"]["invoice_creation"].get("invoice_data") or {}
    bill.invoice |= {"auto_advance": False, "metadata": metadata_of(data)}
    invoices.total(sim, bill)
    invoice = invoices.keep(sim, bill)
    invoices.finalize(sim, invoice)
    collection.collect(sim, invoice, method, verdict)
    intent = collection.intent_of(sim, invoice)
    assert intent is not None
    session |= {
        "invoice": invoice["id"],
        "payment_intent": intent["id"],
        "payment_status": "paid" if intent["status"] == "succeeded" else "unpaid",
    }
    session["_sim"]["payment_intent"] = intent["id"]


def _save_for_later(
    sim: Simulator, session: Obj, customer: Obj, method: Obj | None, verdict: Verdict
) -> None:
    assert method is not None
    assert verdict.status != "failed"
    _set_up(sim, session, customer, method, keep=True)


_COMPLETIONS: dict[str, Any] = {
    "payment": _pay_once,
    "setup": _save_for_later,
    "subscription": _subscribe,
}


def _set_up(sim: Simulator, session: Obj, customer: Obj, method: Obj, *, keep: bool) -> None:
    data = session["_sim"]["params"].get("setup_intent_data") or {}
    key = ids.new_id("setup_intent")
    intent = sim.create(
        "setup_intent",
        key=key,
        client_secret=f"{key}_secret_{ids.random_text(24)}",
        created=sim.now(customer),
        customer=customer["id"],
        metadata=metadata_of(data),
        payment_method=method["id"],
        payment_method_types=[method["type"]],
        status="succeeded",
        usage="off_session",
    )
    sim.emit("setup_intent.succeeded", intent)
    sim.emit("setup_intent.created", intent)
    if keep:
        session["setup_intent"] = intent["id"]


def _bank_says(buyer: Buyer) -> Verdict:
    """A passed challenge is a plain success; a failed one is a refusal."""
    if buyer.behaviour == "decline_after_attaching":
        return cards.VERDICTS["decline"]
    if buyer.behaviour != "3ds":
        return cards.VERDICTS[buyer.behaviour]
    if buyer.challenge_passed:
        return cards.VERDICTS["success"]
    return Verdict(
        status="failed",
        code="payment_intent_authentication_failure",
        message="We are unable to authenticate your payment method. Please choose a different "
        "payment method and try again.",
    )


def _decline(sim: Simulator, session: Obj, buyer: Buyer, verdict: Verdict) -> None:
    """The refused attempt leaves a failed intent behind; the session stays open."""
    if session["mode"] != "setup" and session["amount_total"]:
        method = cards.create_payment_method(sim, buyer.behaviour)
        customer = session["customer"]
        intent = payments.open_intent(
            sim, session["amount_total"], session["currency"], customer=customer
        )
        payments.confirm(sim, intent, method, verdict)
    raise verdict.refusal()


def takes_method(session: Obj) -> bool:
    if session["mode"] == "subscription" and not session["amount_total"]:
        return bool(session["payment_method_collection"] != "if_required")
    return session["mode"] == "setup" or bool(session["amount_total"])


def _claim_customer(sim: Simulator, session: Obj, buyer: Buyer) -> Obj:
    address = _address(buyer.address)
    email = buyer.email or session["customer_email"]
    if session["customer"] is None:
        customer = create_customer(
            sim, {"email": email or "buyer@example.com", "name": buyer.name, "address": address}
        )
        session["customer"] = customer["id"]
        return customer
    customer = sim.find_live("customer", session["customer"], "customer")
    update = session["_sim"]["params"].get("customer_update") or {}
    changes: Obj = {}
    if address and (update.get("address") == "auto" or customer["address"] is None):
        changes["address"] = address
    if buyer.name and (update.get("name") == "auto" or customer["name"] is None):
        changes["name"] = buyer.name
    previous = {name: customer[name] for name in changes if customer[name] != changes[name]}
    customer |= changes
    if previous:
        sim.emit("customer.updated", customer, previous)
    return customer


def _save_method(sim: Simulator, customer: Obj, buyer: Buyer) -> Obj:
    details = {"address": _address(buyer.address), "email": customer["email"],
               "name": buyer.name or customer["name"], "phone": None, "tax_id": None}  # fmt: skip
    method = cards.create_payment_method(
        sim, buyer.behaviour, customer=customer["id"], billing_details=details,
        created=sim.now(customer), allow_redisplay="limited",
    )  # fmt: skip
    method["_sim"]["authenticated"] = buyer.behaviour == "3ds"
    sim.emit("payment_method.attached", method)
    return method


def _address(typed: Obj) -> Obj | None:
    if not any(typed.values()):
        return None
    return {name: typed.get(name) or None for name in ADDRESS_FIELDS}


def _details(customer: Obj, buyer: Buyer) -> Obj:
    return {
        "address": _address(buyer.address) or customer["address"],
        "business_name": None,
        "email": customer["email"],
        "individual_name": None,
        "name": buyer.name or customer["name"],
        "phone": customer["phone"],
        "tax_exempt": customer["tax_exempt"],
        "tax_ids": [],
    }


def _payment_status(invoice: Obj) -> str:
    if invoice["amount_due"] == 0:
        return "no_payment_required" if invoice["total"] == 0 else "paid"
    return "paid" if invoice["status"] == "paid" else "unpaid"


def _customer_of(sim: Simulator, params: Obj) -> Obj | None:
    if not params.get("customer"):
        return None
    if params.get("customer_email"):
        raise StripeError(
            "You may only specify one of these parameters: customer, customer_email.",
            param="customer",
        )
    return sim.find_live("customer", params["customer"], "customer")


def _check_parameters(params: Obj, customer: Obj | None) -> None:
    mode = params["mode"]
    if params.get("ui_mode", "hosted_page") not in {"hosted", "hosted_page"}:
        raise StripeError("The simulator hosts Checkout pages only.", status=501, param="ui_mode")
    if not params.get("success_url"):
        raise required("success_url")
    if mode != "setup" and not params.get("line_items"):
        raise required("line_items")
    if params.get("subscription_data") and mode != "subscription":
        raise StripeError(
            "You can not pass `subscription_data` in `payment` mode.", param="subscription_data"
        )
    if params.get("discounts") and params.get("allow_promotion_codes"):
        raise StripeError(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.",
            param="discounts",
        )
    update = params.get("customer_update") or {}
    if update and customer is None:
        raise StripeError(
            "`customer_update` can only be used with `customer`.", param="customer_update"
        )
    _check_tax(params, customer, update)


def _check_tax(params: Obj, customer: Obj | None, update: Obj) -> None:
    if not subscriptions.wants_tax(params) or customer is None:
        return
    if update.get("address") == "auto" or (customer["address"] or {}).get("country"):
        return
    raise StripeError(
        "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a "
        "valid address to the Customer or set either `customer_update[address]` to 'auto' or "
        "`customer_update[shipping]` to 'auto' to save the address entered in Checkout to the "
        "Customer.",
        code="customer_tax_location_invalid",
    )


def _customer_creation(params: Obj, mode: str) -> str | None:
    if mode == "subscription":
        return "always"
    chosen: str = params.get("customer_creation", "if_required")
    return chosen if mode == "payment" else "always"


def _copy_choices(session: Obj, params: Obj) -> None:
    if params.get("tax_id_collection"):
        session["tax_id_collection"] = {"required": "never", **params["tax_id_collection"]}
    if params.get("phone_number_collection"):
        session["phone_number_collection"] = params["phone_number_collection"]
    for name, text in (params.get("custom_text") or {}).items():
        session["custom_text"][name] = text or None


def _expiry(sim: Simulator, session: Obj, customer: Obj | None, params: Obj) -> int:
    """24 hours, or the given time: 30 minutes to 24 hours ahead by the wall or the test clock."""
    clock, wall = sim.now(customer), sim.wall_now()
    wanted: int | None = params.get("expires_at")
    if wanted is None:
        return clock + LONGEST
    if SHORTEST - 60 <= wanted - clock <= LONGEST + 60:
        return wanted
    if SHORTEST - 60 <= wanted - wall <= LONGEST + 60:
        session["_sim"]["expires_by_wall"] = True
        return wanted
    raise StripeError(
        "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from "
        "Checkout Session creation.",
        param="expires_at",
    )


def _items(params: Obj) -> list[Obj]:
    return [
        {"price": item.get("price"), "quantity": item.get("quantity", 1)}
        for item in params["line_items"]
    ]


def _offer(sim: Simulator, customer: Obj | None, params: Obj) -> Offer:
    if any("price_data" in item for item in params["line_items"]):
        raise StripeError("The simulator sells stored prices only.", status=501, param="line_items")
    if params["mode"] == "subscription":
        wanted = {
            **(params.get("subscription_data") or {}),
            "items": _items(params),
            "currency": params.get("currency"),
        }
        return subscriptions.read_offer(sim, customer, wanted)
    prices = [sim.find("price", item["price"], "line_items") for item in _items(params)]
    currency = params.get("currency") or prices[0]["currency"]
    for price in prices:
        if price_in(price, currency) is None:
            raise missing("price", price["id"], "line_items")
    lines = [
        (price, int(item["quantity"]), item)
        for price, item in zip(prices, _items(params), strict=True)
    ]
    return Offer(currency=currency, lines=lines)


def _quote(sim: Simulator, session: Obj, address: Obj | None) -> Bill:
    params = session["_sim"]["params"]
    customer = sim.store.get("customer", session["customer"] or "")
    offer = _offer(sim, customer, params)
    offer.discounts = [unredeemed(sim, one) for one in session["_sim"]["discounts"]]
    payer = {**customer} if customer else None
    if address and any(address.values()):
        payer = {**(payer or {"tax_exempt": "none"}), "address": _address(address)}
    enabled = session["automatic_tax"]["enabled"]
    if session["mode"] == "subscription":
        return subscriptions.quote(sim, payer, offer, automatic_tax=enabled)
    bill = invoices.open_bill(
        sim, payer, offer.currency, "manual",
        automatic_tax=subscriptions.tax_settings(enabled=enabled),
    )  # fmt: skip
    bill.discounts = offer.discounts
    moment = sim.now(customer)
    for price, quantity, _ in offer.lines:
        name = sim.find("product", price["product"])["name"]
        amount = amount_of(price, quantity, offer.currency)
        invoices.add_line(
            bill, amount, name, price=price, quantity=quantity, period=(moment, moment)
        )
    invoices.total(sim, bill)
    return bill


def unredeemed(sim: Simulator, wanted: Obj) -> Obj:
    """The discount as it will be, for counting only."""
    if wanted.get("promotion_code"):
        promotion = sim.find("promotion_code", wanted["promotion_code"], "discounts")
        coupon = promotion["promotion"]["coupon"]
    else:
        coupon = sim.find("coupon", wanted.get("coupon") or "", "discounts")["id"]
    return {"id": "di_preview", "end": None, "source": {"type": "coupon", "coupon": coupon}}


def _line_items(session: Obj, bill: Bill) -> list[Obj]:
    before = session["_sim"]["line_items"]
    found = []
    for index, line in enumerate(bill.lines):
        off = sum(one["amount"] for one in line["discount_amounts"])
        taxed = sum(one["amount"] for one in line["taxes"])
        added = sum(one["amount"] for one in line["taxes"] if one["tax_behavior"] == "exclusive")
        key = before[index]["id"] if index < len(before) else ids.new_id("item")
        found.append(
            {
                "id": key,
                "object": "item",
                "adjustable_quantity": None,
                "amount_discount": off,
                "amount_subtotal": line["amount"],
                "amount_tax": taxed,
                "amount_total": line["amount"] - off + added,
                "currency": line["currency"],
                "description": line["description"],
                "metadata": {},
                "price": line["pricing"]["price_details"]["price"],
                "quantity": line["quantity"],
            }
        )
    return found
