"""Coupons and promotion codes: who may use one, how much it takes off, when it ends."""

from decimal import Decimal
from typing import Any

from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.money import rounded
from tests.stripe_simulator.periods import add_months
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


def promotion_by_code(sim: Simulator, code: str, customer: str | None) -> Obj:
    """The promotion code a buyer typed; raises Stripe's sentence when it cannot be used."""
    for promotion in sim.store.where("promotion_code"):
        if promotion["code"].lower() == code.strip().lower():
            check_promotion(sim, promotion, customer)
            return promotion
    raise StripeError(f"The promotion code {code} is invalid.", code="promotion_code_invalid")


def check_promotion(sim: Simulator, promotion: Obj, customer: str | None) -> None:
    coupon = sim.store.get("coupon", promotion["promotion"]["coupon"])
    limit, deadline = promotion["max_redemptions"], promotion["expires_at"]
    sentence = None
    if not promotion["active"] or coupon is None or not is_redeemable(sim, coupon):
        sentence = "This promotion code cannot be redeemed because it is not active."
    elif limit is not None and promotion["times_redeemed"] >= limit:
        sentence = "This promotion code has reached its redemption limit."
    elif deadline is not None and sim.wall_now() >= deadline:
        sentence = "This promotion code has expired."
    elif promotion["customer"] and promotion["customer"] != customer:
        sentence = "This promotion code cannot be redeemed by this customer."
    elif promotion["restrictions"]["first_time_transaction"] and _has_paid(sim, customer):
        sentence = (
            "This promotion code cannot be redeemed because the associated customer has prior "
            "transactions."
        )
    if sentence:
        raise StripeError(sentence, code="promotion_code_invalid", param="promotion_code")


def is_redeemable(sim: Simulator, coupon: Obj) -> bool:
    limit, deadline = coupon["max_redemptions"], coupon["redeem_by"]
    return (
        bool(coupon["valid"])
        and (limit is None or coupon["times_redeemed"] < limit)
        and (deadline is None or sim.wall_now() < deadline)
    )


def redeem(sim: Simulator, wanted: Obj, **owner: Any) -> Obj:
    """Make the discount object of a coupon or promotion code, counted once."""
    promotion = None
    if wanted.get("promotion_code"):
        promotion = sim.find("promotion_code", wanted["promotion_code"], "discounts")
        check_promotion(sim, promotion, owner.get("customer"))
        promotion["times_redeemed"] += 1
    name = promotion["promotion"]["coupon"] if promotion else wanted.get("coupon")
    if name is None:
        raise missing("coupon", "", "discounts")
    coupon = sim.find("coupon", name, "discounts")
    if not is_redeemable(sim, coupon):
        raise StripeError(f"Coupon {name} is used up and cannot be applied.", code="coupon_expired")
    coupon["times_redeemed"] += 1
    start = sim.now(owner)
    discount = sim.create(
        "discount",
        start=start,
        end=_end(coupon, start),
        promotion_code=promotion["id"] if promotion else None,
        source={"type": "coupon", "coupon": coupon["id"]},
        **owner,
    )
    if owner.get("subscription"):
        sim.emit("customer.discount.created", discount)
    return discount


def coupon_of(sim: Simulator, discount: Obj) -> Obj:
    return sim.find("coupon", discount["source"]["coupon"])


def is_running(sim: Simulator, discount: Obj, moment: int) -> bool:
    return discount["end"] is None or moment < discount["end"]


def shares(coupon: Obj, amounts: list[int], currency: str) -> list[int]:
    """What a coupon takes off each amount; a fixed sum is spread over them, cent by cent."""
    total = sum(amount for amount in amounts if amount > 0)
    if coupon["percent_off"] is not None:
        percent = Decimal(str(coupon["percent_off"])) / 100
        return [rounded(amount * percent) if amount > 0 else 0 for amount in amounts]
    off = min(_amount_off(coupon, currency), total)
    spread = [amount * off // total if amount > 0 and total else 0 for amount in amounts]
    short = off - sum(spread)
    for index, amount in enumerate(amounts):
        if short and amount > spread[index]:
            extra = min(short, amount - spread[index])
            spread[index] += extra
            short -= extra
    return spread


def _amount_off(coupon: Obj, currency: str) -> int:
    if coupon["currency"] == currency:
        return int(coupon["amount_off"] or 0)
    options = coupon.get("_sim", {}).get("currency_options") or {}
    return int(options.get(currency, {}).get("amount_off", 0))


def _end(coupon: Obj, start: int) -> int | None:
    if coupon["duration"] == "repeating":
        return add_months(start, coupon["duration_in_months"])
    return None


def _has_paid(sim: Simulator, customer: str | None) -> bool:
    return any(
        charge["customer"] == customer and charge["paid"] for charge in sim.store.scan("charge")
    )
