"""Coupons and promotion codes."""

from tests.stripe_simulator.errors import StripeError, required
from tests.stripe_simulator.ids import random_text
from tests.stripe_simulator.routing import Call, assign, endpoint, metadata_of
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/coupons")
def create_coupon(call: Call) -> Obj:
    sim, params = call.sim, call.params
    percent, amount = params.get("percent_off"), params.get("amount_off")
    if (percent is None) == (amount is None):
        raise StripeError("You must pass either `percent_off` or `amount_off`.")
    if amount is not None and not params.get("currency"):
        raise required("currency")
    if params.get("duration") == "repeating" and not params.get("duration_in_months"):
        raise required("duration_in_months")
    if params.get("id") and sim.store.get("coupon", params["id"]):
        raise StripeError("Coupon already exists.", code="resource_already_exists", param="id")
    coupon = sim.create(
        "coupon",
        key=params.get("id"),
        amount_off=amount,
        currency=params.get("currency"),
        duration=params.get("duration", "once"),
        duration_in_months=params.get("duration_in_months"),
        max_redemptions=params.get("max_redemptions"),
        metadata=metadata_of(params),
        name=params.get("name"),
        percent_off=percent,
        redeem_by=params.get("redeem_by"),
        times_redeemed=0,
        valid=True,
    )
    coupon["_sim"] = {
        "applies_to": params.get("applies_to"),
        "currency_options": params.get("currency_options"),
    }
    sim.emit("coupon.created", coupon)
    return call.shown(coupon)


@endpoint("GET", "/v1/coupons")
def list_coupons(call: Call) -> Obj:
    return call.filtered("coupon")


@endpoint("GET", "/v1/coupons/{coupon}")
def retrieve_coupon(call: Call) -> Obj:
    return call.shown(call.sim.find_live("coupon", call.path["coupon"]))


@endpoint("POST", "/v1/coupons/{coupon}")
def update_coupon(call: Call) -> Obj:
    coupon = call.sim.find_live("coupon", call.path["coupon"])
    previous = assign(coupon, call.params, "name")
    if previous:
        call.sim.emit("coupon.updated", coupon, previous)
    return call.shown(coupon)


@endpoint("DELETE", "/v1/coupons/{coupon}")
def delete_coupon(call: Call) -> Obj:
    """The coupon stays for the discounts that use it; nobody can redeem it any more."""
    coupon = call.sim.find_live("coupon", call.path["coupon"])
    call.sim.emit("coupon.deleted", coupon)
    coupon["valid"] = False
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


@endpoint("POST", "/v1/promotion_codes")
def create_promotion(call: Call) -> Obj:
    sim, params = call.sim, call.params
    coupon = (params.get("promotion") or {}).get("coupon")
    if not coupon:
        raise required("promotion[coupon]")
    sim.find_live("coupon", coupon, "promotion[coupon]")
    code = params.get("code") or random_text(8).upper()
    for other in sim.store.where("promotion_code", active=True):
        if other["code"].lower() == code.lower():
            raise StripeError(
                "An active promotion code with `code: " + code + "` already exists.",
                code="resource_already_exists",
            )
    restrictions = params.get("restrictions") or {}
    promotion = sim.create(
        "promotion_code",
        active=params.get("active", True),
        code=code,
        customer=params.get("customer"),
        expires_at=params.get("expires_at"),
        max_redemptions=params.get("max_redemptions"),
        metadata=metadata_of(params),
        promotion={"type": "coupon", "coupon": coupon},
        restrictions={
            "first_time_transaction": restrictions.get("first_time_transaction", False),
            "minimum_amount": restrictions.get("minimum_amount"),
            "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
        },
        times_redeemed=0,
    )
    sim.emit("promotion_code.created", promotion)
    return call.shown(promotion)


@endpoint("GET", "/v1/promotion_codes")
def list_promotions(call: Call) -> Obj:
    params = call.params
    coupon, code = params.get("coupon"), params.get("code")
    shown = [call.shown(one) for one in call.sim.store.where("promotion_code")]
    return call.listed(
        call.sim.find("promotion_code", one["id"])
        for one in shown
        if params.get("active") in {None, one["active"]}
        and coupon in {None, one["promotion"]["coupon"]}
        and (code is None or code.lower() == one["code"].lower())
        and params.get("customer") in {None, one["customer"]}
    )


@endpoint("GET", "/v1/promotion_codes/{promotion_code}")
def retrieve_promotion(call: Call) -> Obj:
    return call.shown(call.sim.find("promotion_code", call.path["promotion_code"]))


@endpoint("POST", "/v1/promotion_codes/{promotion_code}")
def update_promotion(call: Call) -> Obj:
    promotion = call.sim.find("promotion_code", call.path["promotion_code"])
    previous = assign(promotion, call.params, "active")
    if previous:
        call.sim.emit("promotion_code.updated", promotion, previous)
    return call.shown(promotion)
