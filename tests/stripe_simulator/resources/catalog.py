"""Products, their features, and prices in one or several currencies."""

from decimal import Decimal
from typing import Any

from tests.stripe_simulator import rendering
from tests.stripe_simulator.errors import StripeError, required
from tests.stripe_simulator.routing import Call, assign, endpoint, metadata_of, paginate
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

PRODUCT_FIELDS = ("name", "active", "description", "images", "marketing_features",
                  "package_dimensions", "shippable", "statement_descriptor", "tax_code",
                  "unit_label", "url", "default_price")  # fmt: skip


@endpoint("POST", "/v1/products")
def create_product(call: Call) -> Obj:
    sim, params = call.sim, call.params
    if not params.get("name"):
        raise required("name")
    if params.get("id") and sim.store.get("product", params["id"]):
        raise StripeError(f"Product already exists: {params['id']}", code="resource_already_exists")
    product = sim.create(
        "product",
        key=params.get("id"),
        active=True,
        images=[],
        marketing_features=[],
        metadata=metadata_of(params),
        type="service",
        updated=sim.wall_now(),
    )
    assign(product, {k: v for k, v in params.items() if k != "metadata"}, *PRODUCT_FIELDS)
    sim.emit("product.created", product)
    if params.get("default_price_data"):
        terms = {**params["default_price_data"], "product": product["id"]}
        product["default_price"] = _new_price(sim, terms)["id"]
    return call.shown(product)


@endpoint("GET", "/v1/products")
def list_products(call: Call) -> Obj:
    products = call.sim.store.scan("product")
    wanted = call.params.get("ids")
    return call.listed(
        one
        for one in products
        if not one.get("deleted")
        and (wanted is None or one["id"] in wanted)
        and call.params.get("active", one.get("active")) == one.get("active")
    )


@endpoint("GET", "/v1/products/{id}")
def retrieve_product(call: Call) -> Obj:
    return call.shown(call.sim.find("product", call.path["id"]))


@endpoint("POST", "/v1/products/{id}")
def update_product(call: Call) -> Obj:
    product = call.sim.find_live("product", call.path["id"])
    previous = assign(product, call.params, *PRODUCT_FIELDS)
    product["updated"] = call.sim.wall_now()
    if previous:
        call.sim.emit("product.updated", product, previous)
    return call.shown(product)


@endpoint("DELETE", "/v1/products/{id}")
def delete_product(call: Call) -> Obj:
    product = call.sim.find_live("product", call.path["id"])
    if call.sim.store.where("price", product=product["id"]):
        raise StripeError(
            "This product cannot be deleted because it has one or more user-created prices."
        )
    call.sim.emit("product.deleted", product)
    return bury(product)


@endpoint("GET", "/v1/products/{product}/features")
def list_product_features(call: Call) -> Obj:
    product = call.sim.find("product", call.path["product"])
    features = call.sim.store.scan("product_feature")
    return call.listed(one for one in features if one["_sim"]["product"] == product["id"])


@endpoint("POST", "/v1/products/{product}/features")
def attach_feature(call: Call) -> Obj:
    product = call.sim.find_live("product", call.path["product"])
    feature = call.sim.find(
        "entitlements.feature", call.params["entitlement_feature"], "entitlement_feature"
    )
    attached = call.sim.create(
        "product_feature", entitlement_feature=call.shown(feature), livemode=False
    )
    attached["_sim"] = {"product": product["id"]}
    return call.shown(attached)


@endpoint("DELETE", "/v1/products/{product}/features/{id}")
def detach_feature(call: Call) -> Obj:
    attached = call.sim.find("product_feature", call.path["id"])
    call.sim.store.remove("product_feature", attached["id"])
    return bury(attached)


@endpoint("POST", "/v1/entitlements/features")
def create_feature(call: Call) -> Obj:
    feature = call.sim.create(
        "entitlements.feature",
        active=True,
        lookup_key=call.params["lookup_key"],
        metadata=metadata_of(call.params),
        name=call.params["name"],
    )
    return call.shown(feature)


@endpoint("GET", "/v1/entitlements/features")
def list_features(call: Call) -> Obj:
    return call.filtered("entitlements.feature", "lookup_key")


@endpoint("POST", "/v1/prices")
def create_price(call: Call) -> Obj:
    params = call.params
    if not params.get("product"):
        raise required("product")
    call.sim.find_live("product", params["product"], "product")
    return call.shown(_new_price(call.sim, params))


@endpoint("GET", "/v1/prices")
def list_prices(call: Call) -> Obj:
    params = call.params
    wanted = {name: params[name] for name in ("active", "currency", "product", "type")
              if name in params}  # fmt: skip
    keys = params.get("lookup_keys")
    terms = params.get("recurring") or {}
    return call.listed(
        price
        for price in call.sim.store.scan("price", **wanted)
        if (keys is None or price["lookup_key"] in keys)
        and all((price["recurring"] or {}).get(name) == value for name, value in terms.items())
    )


@endpoint("GET", "/v1/prices/{price}")
def retrieve_price(call: Call) -> Obj:
    return call.shown(call.sim.find("price", call.path["price"]))


@endpoint("POST", "/v1/prices/{price}")
def update_price(call: Call) -> Obj:
    price = call.sim.find("price", call.path["price"])
    if call.params.get("lookup_key"):
        _claim_lookup_key(call.sim, call.params)
    previous = assign(price, call.params, "active", "nickname", "lookup_key", "tax_behavior")
    for currency, terms in (call.params.get("currency_options") or {}).items():
        price["_sim"]["currency_options"][currency] = _terms(terms, price["tax_behavior"])
    if previous or call.params.get("currency_options"):
        call.sim.emit("price.updated", price, previous)
    return call.shown(price)


@endpoint("GET", "/v1/plans/{plan}")
def retrieve_plan(call: Call) -> Obj:
    """The legacy view of a recurring price."""
    price = call.sim.find("price", call.path["plan"])
    return rendering.plan_of(price)


@endpoint("GET", "/v1/plans")
def list_plans(call: Call) -> Obj:
    prices = [price for price in call.sim.store.where("price") if price["recurring"]]
    return paginate(prices[::-1], call.params, call.url, rendering.plan_of)


def bury(body: Obj) -> Obj:
    """What is left of a deleted object: its name."""
    name = {"id": body["id"], "object": body["object"], "deleted": True}
    body.clear()
    body.update(name)
    return dict(name)


def _new_price(sim: Simulator, params: Obj) -> Obj:
    _claim_lookup_key(sim, params)
    tax_behavior = params.get("tax_behavior", "unspecified")
    own = _terms(params, tax_behavior)
    recurring = params.get("recurring")
    price = sim.create(
        "price",
        active=params.get("active", True),
        billing_scheme=params.get("billing_scheme", "per_unit"),
        currency=params["currency"].lower(),
        lookup_key=params.get("lookup_key"),
        metadata=metadata_of(params),
        nickname=params.get("nickname"),
        product=params["product"],
        recurring=_recurring(sim, recurring) if recurring else None,
        tax_behavior=tax_behavior,
        tiers_mode=params.get("tiers_mode"),
        transform_quantity=params.get("transform_quantity"),
        type="recurring" if recurring else "one_time",
        unit_amount=own["unit_amount"],
        unit_amount_decimal=own["unit_amount_decimal"],
    )
    options = {price["currency"]: own}
    for currency, terms in (params.get("currency_options") or {}).items():
        options[currency] = _terms(terms, terms.get("tax_behavior", tax_behavior))
    price["_sim"] = {
        "currency_options": options,
        "tiers": own.get("tiers"),
    }
    _check_amounts(price, own)
    sim.emit("price.created", price)
    return price


def _recurring(sim: Simulator, sent: Obj) -> Obj:
    meter = sent.get("meter")
    if meter:
        sim.find("billing.meter", meter, "recurring[meter]")
    return {
        "interval": sent["interval"],
        "interval_count": sent.get("interval_count", 1),
        "meter": meter,
        "trial_period_days": None,
        "usage_type": sent.get("usage_type", "licensed"),
    }


def _terms(sent: Obj, tax_behavior: str) -> Obj:
    """The amounts of a price in one currency."""
    amount, decimal = _amounts(sent, "unit_amount")
    terms: Obj = {
        "custom_unit_amount": None,
        "tax_behavior": tax_behavior,
        "unit_amount": amount,
        "unit_amount_decimal": decimal,
    }
    if sent.get("tiers"):
        terms["tiers"] = [_tier(one) for one in sent["tiers"]]
    return terms


def _tier(sent: Obj) -> Obj:
    unit, unit_decimal = _amounts(sent, "unit_amount")
    flat, flat_decimal = _amounts(sent, "flat_amount")
    return {
        "flat_amount": flat,
        "flat_amount_decimal": flat_decimal,
        "unit_amount": unit,
        "unit_amount_decimal": unit_decimal,
        "up_to": None if sent["up_to"] == "inf" else sent["up_to"],
    }


def _amounts(sent: Obj, name: str) -> tuple[int | None, str | None]:
    """The whole amount (none for a fraction of a minor unit) and the exact decimal."""
    value: Any = sent.get(name, sent.get(f"{name}_decimal"))
    if value is None:
        return None, None
    exact = Decimal(str(value))
    whole = int(exact) if exact == exact.to_integral_value() else None
    return whole, f"{exact.normalize():f}"


def _claim_lookup_key(sim: Simulator, params: Obj) -> None:
    key = params.get("lookup_key")
    for other in sim.store.where("price", lookup_key=key) if key else []:
        if not params.get("transfer_lookup_key"):
            raise StripeError(
                f"A price (`{other['id']}`) already uses that lookup key.", param="lookup_key"
            )
        other["lookup_key"] = None
        sim.emit("price.updated", other, {"lookup_key": key})


def _check_amounts(price: Obj, own: Obj) -> None:
    tiered = price["billing_scheme"] == "tiered"
    if tiered and not own.get("tiers"):
        raise required("tiers")
    if not tiered and own["unit_amount_decimal"] is None:
        raise required("unit_amount")
