"""Subscriptions and their items."""

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import changes, pending, renewal, standing, subscriptions
from tests.stripe_simulator.routing import Call, endpoint, within
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/subscriptions")
def create(call: Call) -> Obj:
    customer = call.sim.find_live("customer", call.params.get("customer", ""), "customer")
    return call.shown(subscriptions.start(call.sim, customer, call.params))


@endpoint("GET", "/v1/subscriptions")
def list_subscriptions(call: Call) -> Obj:
    """Canceled ones are left out unless asked for."""
    sim, params = call.sim, call.params
    wanted = {name: params[name] for name in ("customer", "collection_method") if name in params}
    clock = params.get("test_clock")
    return call.listed(
        one
        for one in sim.store.scan("subscription", **wanted)
        if _has_status(one, params.get("status"))
        and within(one["created"], params.get("created"))
        and clock in {None, one["test_clock"]}
        and _has_price(call, one, params.get("price"))
    )


@endpoint("GET", "/v1/subscriptions/{subscription_exposed_id}")
def retrieve(call: Call) -> Obj:
    return call.shown(_subscription(call))


@endpoint("POST", "/v1/subscriptions/{subscription_exposed_id}")
def update(call: Call) -> Obj:
    subscription = _subscription(call)
    waits = call.params.get("payment_behavior") == "pending_if_incomplete"
    if waits and subscription["status"] not in standing.ENDED:
        pending.update(call.sim, subscription, call.params)
    else:
        changes.update(call.sim, subscription, call.params)
    return call.shown(subscription)


@endpoint("DELETE", "/v1/subscriptions/{subscription_exposed_id}")
def cancel(call: Call) -> Obj:
    subscription = _subscription(call)
    if subscription["status"] in standing.ENDED:
        raise StripeError(
            f"No such subscription: '{subscription['id']}'",
            status=404,
            code="resource_missing",
            param="id",
        )
    changes.cancel_now(call.sim, subscription, call.params)
    return call.shown(subscription)


@endpoint("POST", "/v1/subscriptions/{subscription}/resume")
def resume(call: Call) -> Obj:
    subscription = call.sim.find("subscription", call.path["subscription"])
    if subscription["status"] != "paused":
        raise StripeError("You can only resume a paused subscription.")
    renewal.resume(call.sim, subscription)
    return call.shown(subscription)


@endpoint("DELETE", "/v1/subscriptions/{subscription_exposed_id}/discount")
def delete_discount(call: Call) -> Obj:
    subscription = _subscription(call)
    if not subscription["discounts"]:
        raise StripeError("No active discount for this subscription.", status=404)
    discount = call.sim.find("discount", subscription["discounts"][0])
    changes.update(call.sim, subscription, {"discounts": []})
    return {**call.shown(discount), "deleted": True}


@endpoint("GET", "/v1/subscription_items")
def list_items(call: Call) -> Obj:
    items = call.sim.store.scan("subscription_item", subscription=call.params.get("subscription"))
    return call.listed(items, newest_first=False)


@endpoint("GET", "/v1/subscription_items/{item}")
def retrieve_item(call: Call) -> Obj:
    return call.shown(call.sim.find("subscription_item", call.path["item"]))


@endpoint("POST", "/v1/subscription_items")
def create_item(call: Call) -> Obj:
    params = call.params
    subscription = call.sim.find("subscription", params["subscription"], "subscription")
    before = {item["id"] for item in standing.items_of(call.sim, subscription)}
    wanted = {name: value for name, value in params.items() if name in changes.ITEM_FIELDS}
    changes.update(call.sim, subscription, _with_items(params, wanted))
    items = standing.items_of(call.sim, subscription)
    return call.shown(next(item for item in items if item["id"] not in before))


@endpoint("POST", "/v1/subscription_items/{item}")
def update_item(call: Call) -> Obj:
    item = call.sim.find("subscription_item", call.path["item"])
    subscription = call.sim.find("subscription", item["subscription"])
    wanted = {name: value for name, value in call.params.items() if name in changes.ITEM_FIELDS}
    changes.update(call.sim, subscription, _with_items(call.params, {**wanted, "id": item["id"]}))
    return call.shown(item)


@endpoint("DELETE", "/v1/subscription_items/{item}")
def delete_item(call: Call) -> Obj:
    item = call.sim.find("subscription_item", call.path["item"])
    subscription = call.sim.find("subscription", item["subscription"])
    name = {"id": item["id"], "object": "subscription_item", "deleted": True}
    gone = {"id": item["id"], "deleted": True}
    changes.update(call.sim, subscription, _with_items(call.params, gone))
    return name


def _with_items(params: Obj, item: Obj) -> Obj:
    shared = ("proration_behavior", "proration_date", "payment_behavior")
    return {"items": [item], **{name: params[name] for name in shared if name in params}}


def _subscription(call: Call) -> Obj:
    return call.sim.find("subscription", call.path["subscription_exposed_id"])


def _has_status(subscription: Obj, wanted: str | None) -> bool:
    status = subscription["status"]
    if wanted == "all":
        return True
    if wanted == "ended":
        return status in standing.ENDED
    return status == wanted if wanted else status not in standing.ENDED


def _has_price(call: Call, subscription: Obj, wanted: str | None) -> bool:
    items = standing.items_of(call.sim, subscription) if wanted else []
    return wanted is None or any(item["price"] == wanted for item in items)
