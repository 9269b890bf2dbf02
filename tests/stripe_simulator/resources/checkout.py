"""Checkout sessions, as the seller sees them."""

from tests.stripe_simulator.lifecycle import checkout
from tests.stripe_simulator.rendering import INCLUDABLE
from tests.stripe_simulator.routing import Call, assign, endpoint, paginate, within
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/checkout/sessions")
def create(call: Call) -> Obj:
    return call.shown(checkout.open_session(call.sim, call.params))


@endpoint("GET", "/v1/checkout/sessions")
def list_sessions(call: Call) -> Obj:
    params = call.params
    wanted = {
        name: params[name]
        for name in ("customer", "payment_intent", "status", "subscription")
        if name in params
    }
    return call.listed(
        session
        for session in call.sim.store.scan("checkout.session", **wanted)
        if within(session["created"], params.get("created"))
    )


@endpoint("GET", "/v1/checkout/sessions/{session}")
def retrieve(call: Call) -> Obj:
    return call.shown(call.sim.find("checkout.session", call.path["session"]))


@endpoint("POST", "/v1/checkout/sessions/{session}")
def update(call: Call) -> Obj:
    session = call.sim.find("checkout.session", call.path["session"])
    assign(session, call.params)
    return call.shown(session)


@endpoint("POST", "/v1/checkout/sessions/{session}/expire")
def expire(call: Call) -> Obj:
    session = call.sim.find("checkout.session", call.path["session"])
    checkout.expire(call.sim, session)
    return call.shown(session)


@endpoint("GET", "/v1/checkout/sessions/{session}/line_items")
def line_items(call: Call) -> Obj:
    session = call.sim.find("checkout.session", call.path["session"])
    items = INCLUDABLE["checkout.session", "line_items"](call.sim, session)
    return paginate(items["data"], call.params, call.url, lambda item: item)
