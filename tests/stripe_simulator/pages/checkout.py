"""The Checkout page: what is bought, who pays, and the bank's questions."""

from starlette.responses import Response

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import checkout
from tests.stripe_simulator.lifecycle.checkout import ADDRESS_FIELDS, Buyer
from tests.stripe_simulator.lifecycle.invoices import ACCOUNT_NAME, Bill
from tests.stripe_simulator.money import amount_of, written
from tests.stripe_simulator.pages.choices import COUNTRIES, OFFERED_METHODS
from tests.stripe_simulator.pages.site import Visit, html, message, redirect
from tests.stripe_simulator.pages.words import day, locale_of, say
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

HEADINGS = {"payment": "Pay", "setup": "Save a payment method"}


def show(sim: Simulator, visit: Visit) -> Response:
    session = sim.find("checkout.session", visit.path["session"])
    if session["status"] != "open":
        return _ended(sim, session)
    buyer = _remembered(sim, session)
    if visit.method == "GET":
        return _page(sim, session, buyer)
    buyer = _typed(session, visit.form, buyer)
    try:
        return _ACTIONS.get(visit.form.get("action", "pay"), _pay)(sim, session, buyer, visit.form)
    except StripeError as refused:
        session = _after_refusal(sim, session, refused)
        return _page(sim, session, buyer, error=str(refused), code=visit.form.get("promotion_code"))


def challenge(sim: Simulator, visit: Visit) -> Response:
    """The bank's 3-D Secure page."""
    session = sim.find("checkout.session", visit.path["session"])
    if session["status"] != "open":
        return _ended(sim, session)
    if visit.method == "GET":
        locale = locale_of(sim, session)
        return html("challenge.html", locale=locale, seller=ACCOUNT_NAME, total=_total(session))
    buyer = _remembered(sim, session)
    buyer.behaviour = "3ds"
    buyer.challenge_passed = visit.form.get("challenge") == "complete"
    try:
        return _finish(sim, session, buyer)
    except StripeError as refused:
        session = _after_refusal(sim, session, refused)
        return _page(sim, session, buyer, error=str(refused))


def _pay(sim: Simulator, session: Obj, buyer: Buyer, _: dict[str, str]) -> Response:
    if buyer.behaviour == "3ds" and checkout.takes_method(session):
        return redirect(f"/c/pay/{session['id']}/challenge")
    return _finish(sim, session, buyer)


def _update(sim: Simulator, session: Obj, buyer: Buyer, _: dict[str, str]) -> Response:
    return _page(sim, session, buyer)


def _promote(sim: Simulator, session: Obj, buyer: Buyer, form: dict[str, str]) -> Response:
    checkout.apply_promotion(sim, session, form.get("promotion_code", ""))
    return _page(sim, session, buyer)


_ACTIONS = {"pay": _pay, "promotion": _promote, "update": _update}


def _finish(sim: Simulator, session: Obj, buyer: Buyer) -> Response:
    checkout.complete(sim, session, buyer)
    target = checkout.redirect_url(session)
    return redirect(target) if target else _ended(sim, session)


def _after_refusal(sim: Simulator, session: Obj, refused: StripeError) -> Obj:
    """A declined card leaves its traces; any other refusal leaves nothing."""
    if not refused.keeps_changes:
        sim.store.rollback()
    return sim.find("checkout.session", session["id"])


def _page(
    sim: Simulator, session: Obj, buyer: Buyer, *, error: str | None = None, code: str | None = None
) -> Response:
    bill = checkout.refresh_totals(sim, session, buyer.address)
    customer = sim.store.get("customer", session["customer"] or "") or {}
    locale = locale_of(sim, session)
    return html(
        "checkout.html",
        402 if error else 200,
        locale=locale,
        after=_after(sim, session, bill),
        button=_button(session, locale),
        buyer=buyer,
        chosen=buyer.behaviour,
        code=code,
        countries=COUNTRIES,
        email_fixed=bool(customer.get("email") or session["customer_email"]),
        error=say(locale, error) if error else None,
        heading=_heading(sim, session),
        lines=_lines(session, bill, locale) if bill else [],
        promotion=_promotion(sim, session),
        seller=ACCOUNT_NAME,
        session=session,
        takes_method=checkout.takes_method(session),
        test_methods=OFFERED_METHODS,
        total=_total(session),
        wants_address=_wants_address(session),
    )


def _ended(sim: Simulator, session: Obj) -> Response:
    locale = locale_of(sim, session)
    if session["status"] == "expired":
        return message(
            "This Checkout page has expired",
            "Nothing was charged. Go back and start again.",
            locale=locale,
            link=session["cancel_url"],
            link_text=say(locale, "Go back"),
        )
    return message(
        "All done",
        "This Checkout session is complete. It cannot be paid twice.",
        locale=locale,
        link=checkout.redirect_url(session),
        link_text=say(locale, "Return to the seller"),
    )


def _typed(session: Obj, form: dict[str, str], before: Buyer) -> Buyer:
    """What was typed, kept with the session for the bank's page and for a second try."""
    buyer = Buyer(
        behaviour=form.get("card", "success"),
        email=form.get("email") or before.email,
        name=form.get("name") or before.name,
        address={name: form.get(name) or before.address.get(name) for name in ADDRESS_FIELDS},
    )
    session["_sim"]["buyer"] = {
        "email": buyer.email,
        "name": buyer.name,
        "address": buyer.address,
    }
    return buyer


def _remembered(sim: Simulator, session: Obj) -> Buyer:
    customer = sim.store.get("customer", session["customer"] or "") or {}
    typed = session["_sim"]["buyer"]
    return Buyer(
        email=typed.get("email") or customer.get("email") or session["customer_email"],
        name=typed.get("name") or customer.get("name"),
        address=typed.get("address") or customer.get("address") or {"country": "US"},
    )


def _wants_address(session: Obj) -> bool:
    return bool(
        session["billing_address_collection"] == "required" or session["automatic_tax"]["enabled"]
    )


def _total(session: Obj) -> str | None:
    if session["amount_total"] is None:
        return None
    return written(session["amount_total"], session["currency"])


def _heading(sim: Simulator, session: Obj) -> str:
    locale = locale_of(sim, session)
    if session["mode"] != "subscription":
        return say(locale, HEADINGS[session["mode"]])
    price = sim.find("price", session["_sim"]["line_items"][0]["price"])
    product = sim.find("product", price["product"])["name"]
    return say(locale, "Subscribe to %(product)s", product=product)


def _button(session: Obj, locale: str) -> str:
    if session["mode"] == "setup":
        return say(locale, "Save")
    if session["mode"] == "payment":
        return say(locale, "Pay %(amount)s", amount=_total(session))
    return say(locale, "Start trial" if _is_trial(session) else "Subscribe")


def _is_trial(session: Obj) -> bool:
    data = session["_sim"]["params"].get("subscription_data") or {}
    return bool(data.get("trial_period_days") or data.get("trial_end"))


def _lines(session: Obj, bill: Bill, locale: str) -> list[Obj]:
    """The bill's lines, what comes off, what tax adds."""
    currency = session["currency"]
    rows = [
        {"text": line["description"], "amount": written(line["amount"], currency)}
        for line in bill.lines
    ]
    details = session["total_details"]
    if details["amount_discount"]:
        off = written(-details["amount_discount"], currency)
        rows.append({"text": say(locale, "Discount"), "amount": off})
    for entry in bill.invoice["total_taxes"]:
        text = "Tax (included)" if entry["tax_behavior"] == "inclusive" else "Tax"
        rows.append({"text": say(locale, text), "amount": written(entry["amount"], currency)})
    if session["automatic_tax"]["enabled"] and not bill.invoice["total_taxes"]:
        rows.append({"text": say(locale, "Tax"), "amount": written(0, currency)})
    return rows


def _promotion(sim: Simulator, session: Obj) -> str | None:
    for wanted in session["_sim"]["discounts"]:
        if wanted.get("promotion_code"):
            promotion = sim.find("promotion_code", wanted["promotion_code"])
            coupon = sim.find("coupon", promotion["promotion"]["coupon"])
            return f"{promotion['code']}: {coupon['name'] or _worth(coupon)}"
    return None


def _worth(coupon: Obj) -> str:
    if coupon["percent_off"] is not None:
        return f"{coupon['percent_off']:g} % off"
    return f"{written(coupon['amount_off'], coupon['currency'])} off"


def _after(sim: Simulator, session: Obj, bill: Bill | None) -> str | None:
    """What follows the first payment, in words."""
    if session["mode"] != "subscription" or bill is None:
        return None
    price = sim.find("price", session["_sim"]["line_items"][0]["price"])
    locale = locale_of(sim, session)
    every = say(locale, price["recurring"]["interval"])
    if _is_trial(session):
        quantity = session["_sim"]["line_items"][0]["quantity"]
        then = written(amount_of(price, quantity, session["currency"]), session["currency"])
        return say(
            locale,
            "Free until %(day)s, then %(amount)s per %(interval)s",
            day=day(bill.lines[0]["period"]["end"], locale),
            amount=then,
            interval=every,
        )
    return say(locale, "per %(interval)s", interval=every)
