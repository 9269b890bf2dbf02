"""What Stripe shows of a stored object: its parts put together, its private notes left out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.shapes import empty_list, shape
from tests.stripe_simulator.store import Obj

if TYPE_CHECKING:
    from tests.stripe_simulator.simulator import Simulator

# Kept beside an object's own fields and never shown.
PRIVATE = "_sim"
# Coupons and products may carry names of the account's choosing, so the field tells their kind.
KIND_OF_FIELD = {"coupon": "coupon", "product": "product", "default_price": "price"}
EXPAND_DEPTH = 4


def render(sim: Simulator, body: Obj) -> Obj:
    """A copy that may leave the simulator."""
    shown = {key: copy.deepcopy(value) for key, value in body.items() if key != PRIVATE}
    finish = FINISHERS.get(str(body.get("object")))
    return finish(sim, shown) if finish and not body.get("deleted") else shown


def page(items: list[Obj], url: str) -> Obj:
    return {**empty_list(url), "data": items}


def expand(sim: Simulator, body: Any, paths: list[str]) -> None:
    """Replace ids by objects along dotted paths; raises Stripe's refusal."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > EXPAND_DEPTH + steps.count("data"):
            raise StripeError(
                f"You cannot expand more than {EXPAND_DEPTH} levels of a property. "
                f"Property: {path}",
                code="property_expansion_max_depth",
                param="expand",
            )
        _expand(sim, body, steps, path)


def plan_of(price: Obj) -> Obj:
    """The legacy plan that every recurring price is mirrored in."""
    recurring = price["recurring"]
    return shape(
        "plan",
        id=price["id"],
        active=price["active"],
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        billing_scheme=price["billing_scheme"],
        created=price["created"],
        currency=price["currency"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        metadata=price["metadata"],
        meter=recurring["meter"],
        nickname=price["nickname"],
        product=price["product"],
        tiers_mode=price["tiers_mode"],
        usage_type=recurring["usage_type"],
    )


def _subscription(sim: Simulator, shown: Obj) -> Obj:
    items = sim.store.scan("subscription_item", subscription=shown["id"])
    shown["items"] = page(
        [render(sim, item) for item in items],
        f"/v1/subscription_items?subscription={shown['id']}",
    )
    return shown


def _subscription_item(sim: Simulator, shown: Obj) -> Obj:
    price = sim.find("price", shown["price"])
    shown["price"] = render(sim, price)
    shown["plan"] = plan_of(price)
    return shown


def _promotion_code(sim: Simulator, shown: Obj) -> Obj:
    coupon = sim.store.peek("coupon", shown["promotion"]["coupon"])
    limit, deadline = shown["max_redemptions"], shown["expires_at"]
    shown["active"] = (
        shown["active"]
        and coupon is not None
        and coupon["valid"]
        and (limit is None or shown["times_redeemed"] < limit)
        and (deadline is None or sim.wall_now() < deadline)
    )
    return shown


FINISHERS: dict[str, Callable[[Simulator, Obj], Obj]] = {
    "promotion_code": _promotion_code,
    "subscription": _subscription,
    "subscription_item": _subscription_item,
}


def _invoice_payments(sim: Simulator, body: Obj) -> Obj:
    payments = sim.store.scan("invoice_payment", invoice=body["id"])
    return page([render(sim, payment) for payment in payments], "/v1/invoice_payments")


def _customer_subscriptions(sim: Simulator, body: Obj) -> Obj:
    live = [
        render(sim, subscription)
        for subscription in reversed(sim.store.scan("subscription", customer=body["id"]))
        if subscription["status"] not in {"canceled", "incomplete_expired"}
    ]
    return page(live, f"/v1/customers/{body['id']}/subscriptions")


def _customer_tax_ids(sim: Simulator, body: Obj) -> Obj:
    owned = sim.store.scan("tax_id", customer=body["id"])
    return page([render(sim, one) for one in owned], f"/v1/customers/{body['id']}/tax_ids")


def _customer_tax(sim: Simulator, body: Obj) -> Obj:
    country = (body.get("address") or {}).get("country")
    location = None
    if country:
        location = {"country": country, "source": "billing_address", "state": None}
    return {
        "automatic_tax": "supported" if country else "unrecognized_location",
        "ip_address": None,
        "location": location,
        "provider": "stripe",
    }


def _charge_refunds(sim: Simulator, body: Obj) -> Obj:
    refunds = sim.store.scan("refund", charge=body["id"])
    return page([render(sim, one) for one in refunds], f"/v1/charges/{body['id']}/refunds")


def _private(name: str) -> Callable[[Simulator, Obj], Any]:
    def read(sim: Simulator, body: Obj) -> Any:
        stored = sim.find(body["object"], body["id"])
        return copy.deepcopy(stored.get(PRIVATE, {}).get(name))

    return read


def _session_line_items(sim: Simulator, body: Obj) -> Obj:
    stored = sim.find("checkout.session", body["id"])
    items = [copy.deepcopy(item) for item in stored[PRIVATE]["line_items"]]
    for item in items:
        item["price"] = render(sim, sim.find("price", item["price"]))
    return page(items, f"/v1/checkout/sessions/{body['id']}/line_items")


def _confirmation_secret(sim: Simulator, body: Obj) -> Obj | None:
    for payment in sim.store.scan("invoice_payment", invoice=body["id"]):
        intent = sim.store.peek("payment_intent", payment["payment"].get("payment_intent", ""))
        if intent:
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


INCLUDABLE: dict[tuple[str, str], Callable[[Simulator, Obj], Any]] = {
    ("charge", "refunds"): _charge_refunds,
    ("checkout.session", "line_items"): _session_line_items,
    ("coupon", "applies_to"): _private("applies_to"),
    ("coupon", "currency_options"): _private("currency_options"),
    ("customer", "sources"): lambda _, body: empty_list(f"/v1/customers/{body['id']}/sources"),
    ("customer", "subscriptions"): _customer_subscriptions,
    ("customer", "tax"): _customer_tax,
    ("customer", "tax_ids"): _customer_tax_ids,
    ("invoice", "confirmation_secret"): _confirmation_secret,
    ("invoice", "payments"): _invoice_payments,
    ("price", "currency_options"): _private("currency_options"),
    ("price", "tiers"): _private("tiers"),
}


# Parts that are no objects of their own.
NESTED_INCLUDABLE: dict[str, Any] = {
    "total_details.breakdown": {"discounts": [], "taxes": []},
    "line_items.data.discounts": [],
    "data.total_details.breakdown": {"discounts": [], "taxes": []},
}


def _expand(sim: Simulator, node: Any, steps: list[str], path: str) -> None:
    if isinstance(node, list):
        for element in node:
            _expand(sim, element, steps, path)
    elif isinstance(node, dict) and not node.get("deleted"):
        _expand_field(sim, node, steps, path)


def _expand_field(sim: Simulator, node: Obj, steps: list[str], path: str) -> None:
    head, *rest = steps
    if head not in node and path in NESTED_INCLUDABLE:
        node[head] = copy.deepcopy(NESTED_INCLUDABLE[path])
    elif head not in node:
        include = INCLUDABLE.get((str(node.get("object")), head))
        if include is None:
            raise StripeError(f"This property cannot be expanded ({path}).", param="expand")
        node[head] = include(sim, node)
    elif isinstance(node[head], list):
        node[head] = [_expanded(sim, head, value) for value in node[head]]
    else:
        node[head] = _expanded(sim, head, node[head])
    if rest:
        _expand(sim, node[head], rest, path)


def _expanded(sim: Simulator, name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind = KIND_OF_FIELD.get(name) or sim.store.kind_of(value)
    found = sim.store.peek(kind, value) if kind and not kind.startswith("_") else None
    return render(sim, found) if found else value
