"""Metered usage on invoices: after its period, or when its price leaves the subscription."""

from decimal import Decimal

from tests.stripe_simulator.lifecycle import invoices, metering, standing
from tests.stripe_simulator.lifecycle.invoices import Bill
from tests.stripe_simulator.money import amount_of_usage
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

NONE = Decimal(0)


def is_metered(price: Obj | None) -> bool:
    return price is not None and price["recurring"]["usage_type"] == "metered"


def begin(sim: Simulator, subscription: Obj, item: Obj) -> None:
    """From now on the item's price counts; what came before, this second too, by another."""
    item["_sim"] = {"usage_from": sim.now(subscription) + 1}


def leave(sim: Simulator, subscription: Obj, item: Obj, price: Obj) -> None:
    """A price that leaves at the edge of a period is still owed its usage."""
    owed = {"item": item["id"], "price": price["id"], "period": _period(sim, subscription, item)}
    subscription["_sim"].setdefault("usage_owed", []).append(owed)


def write(sim: Simulator, subscription: Obj, bill: Bill, passed: tuple[int, int]) -> None:
    for owed in subscription["_sim"].pop("usage_owed", []):
        item = {"id": owed["item"], "subscription": subscription["id"]}
        _write_line(sim, subscription, bill, item, owed["price"], tuple(owed["period"]))
    for item in standing.items_of(sim, subscription):
        since = (item.get("_sim") or {}).get("usage_from", 0)
        period = (max(passed[0], since), passed[1])
        if is_metered(sim.find("price", item["price"])) and period[0] < period[1]:
            _write_line(sim, subscription, bill, item, item["price"], period)


def write_so_far(sim: Simulator, subscription: Obj, bill: Bill) -> None:
    """For the invoice to come: the running period's usage until now, nothing settled by it."""
    owed = list(subscription["_sim"].get("usage_owed", []))
    begin_at = standing.period_of(sim, subscription)[0]
    write(sim, subscription, bill, (begin_at, max(sim.now(subscription), begin_at)))
    if owed:
        subscription["_sim"]["usage_owed"] = owed


def refresh(sim: Simulator, invoice: Obj) -> None:
    """Until a renewal's invoice is finalized, late usage of its period is added (the grace)."""
    if invoice["billing_reason"] != "subscription_cycle":
        return
    for line in invoice["lines"]["data"]:
        details = (line["pricing"] or {}).get("price_details") or {}
        price = sim.store.get("price", details.get("price") or "")
        passed = line["period"]["end"] <= invoice["period_end"]
        if price and price["recurring"] and is_metered(price) and passed:
            period = (line["period"]["start"], line["period"]["end"])
            line.update(amounts(sim, invoice, price, period))


def amounts(sim: Simulator, owner: Obj, price: Obj, period: tuple[int, int]) -> Obj:
    """Of usage in a half-open interval; less than none is none."""
    used = max(metering.usage(sim, price["recurring"]["meter"], owner["customer"], *period), NONE)
    amount = amount_of_usage(price, used, owner["currency"])
    name = sim.find("product", price["product"])["name"]
    return {
        "amount": amount,
        "subtotal": amount,
        "description": f"{used.normalize():f} x {name} (metered)" if used else f"0 x {name}",
        "quantity": int(used.to_integral_value()) if used else 0,
        "quantity_decimal": f"{used.normalize():f}" if used else "0",
    }


def _period(sim: Simulator, subscription: Obj, item: Obj) -> list[int]:
    start, end = standing.period_of(sim, subscription)
    since = (item.get("_sim") or {}).get("usage_from", 0)
    return [max(start, since), min(end, sim.now(subscription))]


def _write_line(
    sim: Simulator, subscription: Obj, bill: Bill, item: Obj, price_id: str, period: tuple[int, int]
) -> None:
    price = sim.find("price", price_id)
    found = amounts(sim, subscription, price, period)
    line = invoices.add_line(
        bill,
        found["amount"],
        found["description"],
        price=price,
        item=item,
        period=period,
        quantity=found["quantity"],
    )
    line |= found
