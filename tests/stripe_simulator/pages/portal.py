"""The customer portal: methods, subscriptions, invoices, as far as its configuration allows."""

from collections.abc import Callable

from starlette.responses import Response

from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.lifecycle import cards, changes, standing
from tests.stripe_simulator.lifecycle.customers import ADDRESS_FIELDS, write_details
from tests.stripe_simulator.lifecycle.invoices import ACCOUNT_NAME
from tests.stripe_simulator.money import amount_of, written
from tests.stripe_simulator.pages import plan_change
from tests.stripe_simulator.pages.choices import COUNTRIES, OFFERED_METHODS
from tests.stripe_simulator.pages.plan_change import Wish
from tests.stripe_simulator.pages.site import Visit, html, redirect
from tests.stripe_simulator.pages.words import day, locale_of, say
from tests.stripe_simulator.resources.customers import add_tax_id, detach_method
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

REASONS = {
    "too_expensive": "It is too expensive",
    "missing_features": "Features I need are missing",
    "switched_service": "I found another service",
    "unused": "I do not use it enough",
    "customer_service": "Customer service was not good enough",
    "too_complex": "It is too complex",
    "low_quality": "The quality was not good enough",
    "other": "Another reason",
}


TAX_IDS = ("eu_vat", "gb_vat", "us_ein", "vn_tin")


def show(sim: Simulator, visit: Visit) -> Response:
    session = _found(sim, visit)
    if visit.method == "GET":
        wish = plan_change.wish_of_flow(session) or plan_change.wish_of_query(visit.query)
        return _confirmation(sim, session, wish) if wish else _page(sim, session)
    if visit.form.get("act") == "choose":
        return redirect(plan_change.confirmation_url(session, visit.form))
    try:
        _ACTS[visit.form.get("act", "")](sim, session, visit.form)
    except StripeError as refused:
        if not refused.keeps_changes:
            sim.store.rollback()
        return _page(sim, session, error=str(refused))
    return redirect(_next_page(session))


def _add(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    """A new method becomes the default, here and on every subscription."""
    _require(sim, session, "payment_method_update")
    customer = _customer(sim, session)
    behaviour = form.get("card", "success")
    if behaviour not in cards.BEHAVIOURS:
        raise StripeError("Choose a payment method.")
    method = cards.create_payment_method(sim, behaviour, created=sim.now(customer))
    if cards.refuses_to_be_saved(method):
        sim.store.remove("payment_method", method["id"])
        raise cards.VERDICTS[behaviour].refusal()
    method["customer"] = customer["id"]
    method["_sim"]["authenticated"] = behaviour == "3ds"
    sim.emit("payment_method.attached", method)
    _make_default(sim, customer, method)


def _choose(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    _require(sim, session, "payment_method_update")
    customer = _customer(sim, session)
    _make_default(sim, customer, _own_method(sim, customer, form))


def _remove(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    _require(sim, session, "payment_method_update")
    detach_method(sim, _own_method(sim, _customer(sim, session), form))


def _cancel(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    feature = _require(sim, session, "subscription_cancel")
    subscription = _own_subscription(sim, session, form)
    details = {"feedback": form.get("reason") or "", "comment": form.get("comment") or ""}
    sent = {name: value for name, value in details.items() if value}
    if feature["mode"] == "immediately":
        prorate = feature["proration_behavior"] != "none"
        asked = {"prorate": prorate, "cancellation_details": sent}
        changes.cancel_now(sim, subscription, asked)
        return
    # Stripe's portal was seen to set the date instead of the flag.
    end = standing.period_of(sim, subscription)[1]
    by_date = sim.options["portal_cancels_by_date"]
    ending = {"cancel_at": end} if by_date else {"cancel_at_period_end": True}
    changes.update(sim, subscription, {**ending, "cancellation_details": sent})


def _renew(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    _require(sim, session, "subscription_cancel")
    subscription = _own_subscription(sim, session, form)
    changes.update(sim, subscription, {"cancel_at_period_end": False})


def _details(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    allowed = _require(sim, session, "customer_update")["allowed_updates"]
    customer = _customer(sim, session)
    sent: Obj = {name: form[name] for name in ("email", "name") if name in form}
    if form.get("country"):
        sent["address"] = {name: form.get(name) for name in ADDRESS_FIELDS}
    sent = {name: value for name, value in sent.items() if name in allowed}
    if previous := write_details(sim, customer, sent):
        sim.emit("customer.updated", customer, previous)
    if "tax_id" in allowed and form.get("tax_id") and form.get("tax_id_type") in TAX_IDS:
        add_tax_id(sim, customer["id"], {"type": form["tax_id_type"], "value": form["tax_id"]})


def _confirm(sim: Simulator, session: Obj, form: dict[str, str]) -> None:
    feature = _require(sim, session, "subscription_update")
    wish = plan_change.wish_of_flow(session) or plan_change.wish_of_query(form)
    if wish is None:
        raise StripeError("Choose a plan.")
    plan_change.carry_out(sim, session, feature, wish)


_ACTS: dict[str, Callable[[Simulator, Obj, dict[str, str]], None]] = {
    "add": _add,
    "cancel": _cancel,
    "confirm": _confirm,
    "default": _choose,
    "details": _details,
    "remove": _remove,
    "renew": _renew,
}


def _confirmation(sim: Simulator, session: Obj, wish: Wish) -> Response:
    """What the change costs, before it is made."""
    feature = _require(sim, session, "subscription_update")
    try:
        offer = plan_change.offer(sim, session, feature, wish)
        locale = locale_of(sim, session)
    except StripeError as refused:
        sim.store.rollback()
        return _page(sim, session, error=str(refused))
    return html("portal_confirm.html", locale=locale, offer=offer, seller=ACCOUNT_NAME, wish=wish)


def _page(sim: Simulator, session: Obj, *, error: str | None = None) -> Response:
    customer = _customer(sim, session)
    flow = session["flow"] or {}
    defaults = {customer["invoice_settings"]["default_payment_method"]}
    defaults |= {one["default_payment_method"] for one in _live(sim, customer)}
    locale = locale_of(sim, session)
    feature = _features(sim, session)["subscription_update"]
    return html(
        "portal.html",
        402 if error else 200,
        locale=locale,
        chosen="success",
        customer=customer,
        error=say(locale, error) if error else None,
        features=_features(sim, session),
        flow=flow.get("type"),
        flow_subscription=(flow.get(flow.get("type")) or {}).get("subscription"),
        invoices=[_invoice_row(one, locale) for one in _invoices(sim, customer)],
        methods_kept=[_method_row(defaults, one, locale) for one in _methods(sim, customer)],
        reasons=REASONS,
        return_url=session["return_url"],
        seller=ACCOUNT_NAME,
        countries=COUNTRIES,
        plans=plan_change.plans(sim, feature, locale),
        subscriptions=[_subscription_row(sim, one, locale) for one in _live(sim, customer)],
        tax_ids=sim.store.scan("tax_id", customer=customer["id"]),
        tax_id_types=TAX_IDS,
        test_methods=[one for one in OFFERED_METHODS if one.behaviour != "3ds"],
    )


def _next_page(session: Obj) -> str:
    """After a deep link's act, where the seller asked people to go."""
    after = (session["flow"] or {}).get("after_completion") or {}
    if after.get("type") == "redirect":
        return str(after["redirect"]["return_url"])
    return str(session["url"])


def _features(sim: Simulator, session: Obj) -> Obj:
    configuration = sim.find("billing_portal.configuration", session["configuration"])
    features: Obj = configuration["features"]
    return features


def _require(sim: Simulator, session: Obj, name: str) -> Obj:
    feature: Obj = _features(sim, session)[name]
    if not feature["enabled"]:
        raise StripeError("The seller has switched this off in the portal.")
    return feature


def _make_default(sim: Simulator, customer: Obj, method: Obj) -> None:
    before = dict(customer["invoice_settings"])
    customer["invoice_settings"] = {**before, "default_payment_method": method["id"]}
    sim.emit("customer.updated", customer, {"invoice_settings": before})
    for subscription in _live(sim, customer):
        standing.change(sim, subscription, default_payment_method=method["id"])


def _live(sim: Simulator, customer: Obj) -> list[Obj]:
    return [
        one
        for one in sim.store.where("subscription", customer=customer["id"])
        if one["status"] not in standing.ENDED
    ]


def _methods(sim: Simulator, customer: Obj) -> list[Obj]:
    return sim.store.where("payment_method", customer=customer["id"])


def _invoices(sim: Simulator, customer: Obj) -> list[Obj]:
    found = sim.store.where("invoice", customer=customer["id"])
    return [one for one in reversed(found) if one["status"] != "draft"]


def _subscription_row(sim: Simulator, subscription: Obj, locale: str) -> Obj:
    names = []
    for item in standing.items_of(sim, subscription):
        price = sim.find("price", item["price"])
        product = sim.find("product", price["product"])["name"]
        count = item.get("quantity")
        amount = amount_of(price, count or 0, subscription["currency"])
        cost = plan_change.each(price, amount, subscription["currency"], locale)
        many = count or say(locale, "metered")
        names.append(f"{product}, {cost}" if count == 1 else f"{product}, {many} x {cost}")
    return {
        "id": subscription["id"],
        "names": names,
        "quantity": standing.items_of(sim, subscription)[0].get("quantity", 1),
        "price": standing.items_of(sim, subscription)[0]["price"],
        "status": subscription["status"],
        "ends": day(subscription["cancel_at"], locale) if subscription["cancel_at"] else None,
        "renews": day(standing.period_of(sim, subscription)[1], locale),
    }


def _method_row(defaults: set[str | None], method: Obj, locale: str) -> Obj:
    block = method[method["type"]]
    if method["type"] == "card":
        name = say(
            locale,
            "%(brand)s ending in %(last4)s, expires %(expires)s",
            brand=block["brand"].title(),
            last4=block["last4"],
            expires=f"{block['exp_month']:02d}/{block['exp_year']}",
        )
    else:
        name = say(locale, "Bank account ending in %(last4)s", last4=block["last4"])
    return {"id": method["id"], "name": name, "is_default": method["id"] in defaults}


def _invoice_row(invoice: Obj, locale: str) -> Obj:
    return {
        "number": invoice["number"],
        "day": day(invoice["status_transitions"]["finalized_at"], locale),
        "amount": written(invoice["amount_due"], invoice["currency"]),
        "status": invoice["status"],
        "url": invoice["hosted_invoice_url"],
    }


def _own_method(sim: Simulator, customer: Obj, form: dict[str, str]) -> Obj:
    method = sim.find("payment_method", form.get("method", ""))
    if method["customer"] != customer["id"]:
        raise missing("payment_method", method["id"])
    return method


def _own_subscription(sim: Simulator, session: Obj, form: dict[str, str]) -> Obj:
    subscription = sim.find("subscription", form.get("subscription", ""))
    if subscription["customer"] != session["customer"]:
        raise missing("subscription", subscription["id"])
    return subscription


def _customer(sim: Simulator, session: Obj) -> Obj:
    return sim.find_live("customer", session["customer"])


def _found(sim: Simulator, visit: Visit) -> Obj:
    """The address is a secret; whoever has it may act for the customer."""
    for session in sim.store.scan("billing_portal.session"):
        if session["_sim"]["secret"] == visit.path["secret"]:
            return session
    raise missing("billing_portal.session", "of this link")
