"""The invoice that would be: for a new subscription, for a change, or for the next renewal.

Prorations are estimates of this simulator; they were not compared with Stripe's.
"""

from typing import Any

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import (
    changes,
    checkout,
    invoices,
    standing,
    subscriptions,
    usage_lines,
)
from tests.stripe_simulator.lifecycle.invoices import Bill
from tests.stripe_simulator.lifecycle.proration import Change, give_back, prorate
from tests.stripe_simulator.lifecycle.subscriptions import Sold
from tests.stripe_simulator.money import amount_of
from tests.stripe_simulator.periods import add_interval
from tests.stripe_simulator.routing import metadata_of
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


def preview(sim: Simulator, params: Obj) -> Obj:
    details = params.get("subscription_details") or {}
    if params.get("subscription"):
        subscription = sim.find("subscription", params["subscription"], "subscription")
        bill = _preview_change(sim, subscription, details)
    else:
        bill = _preview_start(sim, params, details)
    wanted = params.get("discounts")
    if wanted:
        bill.discounts = [checkout.unredeemed(sim, one) for one in wanted if one]
    invoice = invoices.total(sim, bill)
    invoice["id"] = "upcoming_" + invoice["id"]
    return invoice


def new_invoice_item(sim: Simulator, customer: Obj, params: Obj) -> Obj:
    """A one-off amount, or a price times a quantity, waiting for an invoice."""
    price, quantity = None, int(params.get("quantity", 1))
    currency = params.get("currency") or customer["currency"] or "usd"
    if (params.get("pricing") or {}).get("price"):
        price = sim.find("price", params["pricing"]["price"], "pricing[price]")
        amount = amount_of(price, quantity, currency)
    elif "amount" in params:
        amount = params["amount"]
    else:
        raise StripeError("You must pass either `amount` or `pricing`.", param="amount")
    moment = sim.now(customer)
    period = params.get("period") or {"start": moment, "end": moment}
    item = sim.create(
        "invoiceitem",
        amount=amount,
        currency=currency,
        customer=customer["id"],
        date=moment,
        description=params.get("description"),
        discountable=params.get("discountable", True),
        discounts=[],
        invoice=params.get("invoice"),
        metadata=metadata_of(params),
        net_amount=amount,
        period=period,
        pricing=_pricing(price, amount, quantity),
        quantity=quantity,
        tax_rates=[],
        test_clock=customer["test_clock"],
    )
    item["quantity_decimal"] = str(quantity)
    item["_sim"] = {"subscription": params.get("subscription")}
    return item


def write_invoice_item(sim: Simulator, bill: Bill, item: Obj) -> None:
    """Put a waiting item on an invoice; it is not waiting any more."""
    details = (item["pricing"] or {}).get("price_details") or {}
    price = sim.store.get("price", details.get("price") or "")
    parent = (item["parent"] or {}).get("subscription_details") or {}
    owner = None
    if parent.get("subscription_item"):
        owner = {"id": parent["subscription_item"], "subscription": parent["subscription"]}
    invoices.add_line(
        bill,
        item["amount"],
        item["description"] or "",
        price=price,
        quantity=item["quantity"],
        item=owner,
        invoice_item=item["id"],
        proration=item["proration"],
        discountable=item["discountable"],
        period=(item["period"]["start"], item["period"]["end"]),
        metadata=item["metadata"],
    )
    item["invoice"] = bill.invoice["id"]


def _preview_start(sim: Simulator, params: Obj, details: Obj) -> Bill:
    customer = sim.store.get("customer", params.get("customer") or "")
    if params.get("customer_details"):
        base: Obj = dict(customer or {"tax_exempt": "none"})
        base["address"] = params["customer_details"].get("address") or base.get("address")
        customer = base
    offer = subscriptions.read_offer(
        sim, customer, {**details, "currency": params.get("currency") or details.get("currency")}
    )
    return subscriptions.quote(sim, customer, offer, automatic_tax=subscriptions.wants_tax(params))


def _preview_change(sim: Simulator, subscription: Obj, details: Obj) -> Bill:
    moment = int(details.get("proration_date") or sim.now(subscription))
    found = changes.read_changes(sim, subscription, details.get("items") or [])
    behaviour = details.get("proration_behavior", "create_prorations")
    period = standing.period_of(sim, subscription)
    restarts = changes.restarts_period(sim, subscription, found, details)
    parts = []
    if behaviour != "none" and subscription["status"] != "trialing":
        parts = (
            give_back(sim, subscription, moment)
            if restarts
            else prorate(sim, subscription, found, moment)
        )
    if behaviour != "none":
        parts += changes.accrued(sim, subscription, found, all_of_it=restarts)
    at_once = behaviour == "always_invoice" and bool(parts)
    bill = changes.open_update_bill(
        sim, subscription, "subscription_update" if at_once else "upcoming"
    )
    changes.write_parts(bill, parts)
    if restarts:
        recurring = _first_price(_everything(sim, subscription, found))["recurring"]
        _write_next(sim, subscription, bill, found, (moment, add_interval(moment, recurring)))
    elif not at_once:
        for item in sim.store.where("invoiceitem", customer=subscription["customer"]):
            if item.get("invoice") is None and not item.get("deleted"):
                write_invoice_item(sim, bill, item)
                item["invoice"] = None
        recurring = _first_price(_everything(sim, subscription, found))["recurring"]
        anchor = subscription["billing_cycle_anchor"]
        after = (period[1], add_interval(period[1], recurring, anchor))
        usage_lines.write_so_far(sim, subscription, bill)
        _write_next(sim, subscription, bill, found, after)
        bill.invoice["period_start"], bill.invoice["period_end"] = period
        bill.invoice["next_payment_attempt"] = period[1] + 3600
    return bill


def _write_next(
    sim: Simulator, subscription: Obj, bill: Bill, found: list[Change], period: tuple[int, int]
) -> None:
    for change in _everything(sim, subscription, found):
        if change.new_price is not None:
            sold = Sold(price=change.new_price, quantity=change.new_quantity, item=change.item)
            subscriptions.write_period(sim, bill, sold, period)


def _everything(sim: Simulator, subscription: Obj, found: list[Change]) -> list[Change]:
    """The changed items together with those that stay as they are."""
    named = {change.item["id"] for change in found}
    kept = [
        Change(
            item=item,
            old_price=sim.find("price", item["price"]),
            old_quantity=item.get("quantity", 0),
            new_price=sim.find("price", item["price"]),
            new_quantity=item.get("quantity", 0),
        )
        for item in standing.items_of(sim, subscription)
        if item["id"] not in named
    ]
    return [*kept, *found]


def _first_price(found: list[Change]) -> Obj:
    return next(change.new_price for change in found if change.new_price is not None)


def _pricing(price: Obj | None, amount: int, quantity: int) -> Obj | None:
    details: Any = None
    if price:
        details = {"price": price["id"], "product": price["product"]}
        unit = price["unit_amount_decimal"]
    else:
        unit = str(amount // quantity if quantity else amount)
    found: Obj = {"type": "price_details", "unit_amount_decimal": unit}
    if details:
        found["price_details"] = details
    return found
