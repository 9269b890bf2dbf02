"""Changing a running subscription: other items, another price, its end, its payment."""

from typing import Any

from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.lifecycle import (
    collection,
    discounts,
    invoices,
    standing,
    usage_lines,
)
from tests.stripe_simulator.lifecycle import subscriptions as starting
from tests.stripe_simulator.lifecycle.cards import verdict_of
from tests.stripe_simulator.lifecycle.invoices import Bill
from tests.stripe_simulator.lifecycle.proration import Change, Part, give_back, prorate
from tests.stripe_simulator.lifecycle.sequences import CHANGE_INVOICED
from tests.stripe_simulator.money import price_in
from tests.stripe_simulator.periods import add_interval
from tests.stripe_simulator.routing import assign
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

ITEM_FIELDS = {"id", "price", "quantity", "deleted", "metadata", "clear_usage", "discounts"}
PLAIN = ("collection_method", "days_until_due", "description", "default_payment_method")


def update(sim: Simulator, subscription: Obj, params: Obj) -> None:
    """Apply the parameters of an update; prorate, invoice and tell as they ask."""
    if subscription["status"] in standing.ENDED:
        _update_ended(sim, subscription, params)
        return
    before = subscription["latest_invoice"]
    with sim.sequence(CHANGE_INVOICED):
        previous = assign(subscription, params, *PLAIN)
        previous |= _set_end(sim, subscription, params)
        previous |= _set_settings(subscription, params)
        previous |= set_discounts(sim, subscription, params)
        previous |= _set_trial(sim, subscription, params)
        if params.get("items") or params.get("billing_cycle_anchor") == "now":
            previous |= change_items(sim, subscription, params)
        if previous:
            sim.emit("customer.subscription.updated", subscription, previous)
        if params.get("payment_behavior") == "error_if_incomplete":
            _refuse_unpaid(sim, subscription, before)


def _refuse_unpaid(sim: Simulator, subscription: Obj, before: str | None) -> None:
    """The invoice of this very change is open after its attempt: undo all of it."""
    invoice = sim.store.get("invoice", subscription["latest_invoice"] or "")
    if invoice is None or invoice["id"] == before or invoice["status"] != "open":
        return
    intent = collection.intent_of(sim, invoice)
    if intent is not None and intent["status"] == "processing":
        return
    refusal = verdict_of(sim, collection.method_for(sim, invoice)).refusal()
    refusal.keeps_changes = False
    raise refusal


def cancel_now(sim: Simulator, subscription: Obj, params: Obj) -> None:
    """End at once; `prorate` credits the unused time and `invoice_now` bills it."""
    details = {
        name: value or None for name, value in (params.get("cancellation_details") or {}).items()
    }
    at_once = bool(params.get("invoice_now"))
    parts = give_back(sim, subscription, sim.now(subscription)) if params.get("prorate") else []
    if at_once:
        parts += accrued(sim, subscription, [], all_of_it=True)
    _bill_parts(sim, subscription, parts, at_once=at_once)
    standing.cancel(sim, subscription, "cancellation_requested", details)


def read_changes(sim: Simulator, subscription: Obj, wanted: list[Obj]) -> list[Change]:
    """The named items before and after; an entry without an id adds one."""
    current = {item["id"]: item for item in standing.items_of(sim, subscription)}
    found = []
    for index, sent in enumerate(wanted):
        at = f"items[{index}]"
        item = current.get(sent.get("id", ""))
        if sent.get("id") and item is None:
            raise missing("subscription_item", sent["id"], f"{at}[id]")
        old_price = sim.find("price", item["price"]) if item else None
        new_price = old_price
        if sent.get("price"):
            new_price = sim.find("price", sent["price"], f"{at}[price]")
            _check_sellable(new_price, subscription, at)
        old_quantity = item.get("quantity", 0) if item else 0
        default = 1 if sent.get("price") else old_quantity
        found.append(
            Change(
                item=item or {"id": "", "subscription": subscription["id"]},
                old_price=old_price,
                old_quantity=old_quantity,
                new_price=None if sent.get("deleted") else new_price,
                new_quantity=0 if sent.get("deleted") else _count(sent, default),
            )
        )
    return found


def _count(sent: Obj, default: int) -> int:
    return int(sent["quantity"]) if "quantity" in sent else default


def write_parts(bill: Bill, parts: list[Part], invoice_items: list[str] | None = None) -> None:
    for index, part in enumerate(parts):
        invoices.add_line(
            bill,
            part.amount,
            part.description,
            price=part.price,
            quantity=part.quantity,
            item=part.item,
            period=part.period,
            proration=True,
            discountable=False,
            invoice_item=invoice_items[index] if invoice_items else None,
        )


def change_items(sim: Simulator, subscription: Obj, params: Obj) -> Obj:
    wanted = params.get("items") or []
    found = read_changes(sim, subscription, wanted)
    moment = int(params.get("proration_date") or sim.now(subscription))
    behaviour = params.get("proration_behavior", "create_prorations")
    trialing = subscription["status"] == "trialing"
    shown = [_shown(item) for item in standing.items_of(sim, subscription)]
    previous: Obj = {"items": {"object": "list", "data": shown}}
    latest = subscription["latest_invoice"]
    restarts = restarts_period(sim, subscription, found, params)
    parts: list[Part] = []
    if behaviour != "none" and not trialing:
        parts = (
            give_back(sim, subscription, moment)
            if restarts
            else prorate(sim, subscription, found, moment)
        )
    if behaviour != "none":
        parts += accrued(sim, subscription, found, all_of_it=restarts)
    _write_items(sim, subscription, found, wanted)
    if restarts and not trialing:
        previous |= _restart(sim, subscription, parts)
    else:
        _bill_parts(sim, subscription, parts, at_once=behaviour == "always_invoice")
    if subscription["latest_invoice"] != latest:
        previous["latest_invoice"] = latest
    return previous


def accrued(
    sim: Simulator, subscription: Obj, found: list[Change], *, all_of_it: bool
) -> list[Part]:
    """Usage so far of metered prices that leave, or of all where the period begins anew."""
    left = {change.item["id"] for change in found if change.matters}
    parts = []
    for item in standing.items_of(sim, subscription):
        price = sim.find("price", item["price"])
        if usage_lines.is_metered(price) and (all_of_it or item["id"] in left):
            start, now = standing.period_of(sim, subscription)[0], sim.now(subscription)
            period = (max(start, (item.get("_sim") or {}).get("usage_from", 0)), now)
            parts.append(_usage_part(sim, subscription, item, price, period))
    return [part for part in parts if part.quantity]


def _usage_part(
    sim: Simulator, subscription: Obj, item: Obj, price: Obj, period: tuple[int, int]
) -> Part:
    begin, now = period
    used = usage_lines.amounts(sim, subscription, price, (begin, now + 1))
    return Part(
        amount=used["amount"],
        description=used["description"],
        item=item,
        price=price,
        quantity=used["quantity"],
        period=period,
    )


def restarts_period(sim: Simulator, subscription: Obj, found: list[Change], params: Obj) -> bool:
    """Another interval, or billing_cycle_anchor=now, begins a new period today."""
    if params.get("billing_cycle_anchor") == "now":
        return True
    items = standing.items_of(sim, subscription)
    current = sim.find("price", items[0]["price"])["recurring"]
    return any(
        change.new_price is not None
        and (
            change.new_price["recurring"]["interval"],
            change.new_price["recurring"]["interval_count"],
        )
        != (current["interval"], current["interval_count"])
        for change in found
    )


def replace_items(sim: Simulator, subscription: Obj, wanted: list[Obj]) -> None:
    """Other items without proration and without an event: a renewal follows and tells."""
    found = read_changes(sim, subscription, wanted)
    for change in found:
        if change.matters and change.old_price and usage_lines.is_metered(change.old_price):
            usage_lines.leave(sim, subscription, change.item, change.old_price)
    _write_items(sim, subscription, found, wanted)


def _write_items(sim: Simulator, subscription: Obj, found: list[Change], wanted: list[Obj]) -> None:
    for change, sent in zip(found, wanted, strict=True):
        if change.new_price is None:
            sim.store.remove("subscription_item", change.item["id"])
        elif not change.item["id"]:
            item = starting.add_item(sim, subscription, change.new_price, change.new_quantity, sent)
            change.item["id"] = item["id"]
            if usage_lines.is_metered(change.new_price):
                usage_lines.begin(sim, subscription, item)
        else:
            if change.matters and usage_lines.is_metered(change.new_price):
                usage_lines.begin(sim, subscription, change.item)
            change.item["price"] = change.item["plan"] = change.new_price["id"]
            if "quantity" in change.item:
                change.item["quantity"] = change.new_quantity
            assign(change.item, sent)


def _restart(sim: Simulator, subscription: Obj, credits_: list[Part]) -> Obj:
    """A new period from now on, invoiced at once with credit for the old one's rest."""
    moment = sim.now(subscription)
    items = standing.items_of(sim, subscription)
    recurring = sim.find("price", items[0]["price"])["recurring"]
    previous = {"billing_cycle_anchor": subscription["billing_cycle_anchor"]}
    subscription["billing_cycle_anchor"] = moment
    starting.set_period(sim, subscription, moment, add_interval(moment, recurring))
    bill = open_update_bill(sim, subscription, "subscription_update")
    write_parts(bill, credits_)
    for item in items:
        period = tuple(subscription["_sim"]["period"])
        starting.write_period(sim, bill, starting.sold_by(sim, item), period)
    issue(sim, subscription, bill)
    return previous


def open_update_bill(sim: Simulator, subscription: Obj, reason: str) -> Bill:
    customer = sim.find("customer", subscription["customer"])
    bill = invoices.open_bill(
        sim,
        customer,
        subscription["currency"],
        reason,
        automatic_tax=dict(subscription["automatic_tax"]),
        collection_method=subscription["collection_method"],
        parent=invoices.for_subscription(subscription),
    )
    bill.discounts = starting.running_discounts(sim, subscription, sim.now(subscription))
    return bill


def _bill_parts(sim: Simulator, subscription: Obj, parts: list[Part], *, at_once: bool) -> None:
    """Prorations become invoice items: collected now, or by the next renewal."""
    if not parts:
        return
    made = [_invoice_item(sim, subscription, part) for part in parts]
    if not at_once:
        return
    bill = open_update_bill(sim, subscription, "subscription_update")
    write_parts(bill, parts, [item["id"] for item in made])
    for item in made:
        item["invoice"] = bill.invoice["id"]
    issue(sim, subscription, bill)


def issue(sim: Simulator, subscription: Obj, bill: Bill) -> None:
    invoices.total(sim, bill)
    invoice = invoices.keep(
        sim,
        bill,
        subscription=subscription["id"],
        days_until_due=subscription["days_until_due"] or 30,
    )
    subscription["latest_invoice"] = invoice["id"]
    starting.drop_used_discounts(sim, subscription)
    if subscription["collection_method"] == "send_invoice":
        return
    invoices.finalize(sim, invoice)
    collection.collect(sim, invoice)


def _invoice_item(sim: Simulator, subscription: Obj, part: Part) -> Obj:
    start, end = part.period
    item = sim.create(
        "invoiceitem",
        amount=part.amount,
        currency=subscription["currency"],
        customer=subscription["customer"],
        date=sim.now(subscription),
        description=part.description,
        discountable=False,
        discounts=[],
        metadata={},
        net_amount=part.amount,
        parent={
            "type": "subscription_details",
            "subscription_details": {
                "subscription": subscription["id"],
                "subscription_item": part.item["id"],
            },
        },
        period={"start": start, "end": end},
        pricing={
            "type": "price_details",
            "price_details": {"price": part.price["id"], "product": part.price["product"]},
            "unit_amount_decimal": part.price["unit_amount_decimal"],
        },
        proration=True,
        quantity=part.quantity,
        tax_rates=[],
        test_clock=subscription["test_clock"],
    )
    item["quantity_decimal"] = str(part.quantity)
    item["_sim"] = {"subscription": subscription["id"]}
    sim.emit("invoiceitem.created", item)
    return item


def _set_end(sim: Simulator, subscription: Obj, params: Obj) -> Obj:
    """cancel_at_period_end, cancel_at and taking either back."""
    if subscription["schedule"] and {"cancel_at", "cancel_at_period_end"} & set(params):
        raise StripeError(
            f"The subscription is managed by the subscription schedule "
            f"`{subscription['schedule']}`, and updating any cancelation behavior directly is not "
            "allowed. Please update the schedule instead."
        )
    moment = sim.now(subscription)
    wanted: Obj = {}
    if "cancel_at_period_end" in params:
        ends = params["cancel_at_period_end"]
        end = standing.period_of(sim, subscription)[1]
        wanted = {"cancel_at_period_end": ends, "cancel_at": end if ends else None}
    if "cancel_at" in params:
        at: Any = params["cancel_at"]
        if at in {"min_period_end", "max_period_end"}:
            at = standing.period_of(sim, subscription)[1]
        wanted = {"cancel_at": at or None, "cancel_at_period_end": False}
    if wanted:
        canceled = moment if wanted["cancel_at"] else None
        wanted["canceled_at"] = canceled
        reason = "cancellation_requested" if canceled else None
        details: Obj = {**subscription["cancellation_details"], "reason": reason}
        if not canceled:
            details = {**details, "comment": None, "feedback": None}
        wanted["cancellation_details"] = details
    sent = params.get("cancellation_details")
    if sent:
        stated: Obj = wanted.get("cancellation_details") or subscription["cancellation_details"]
        wanted["cancellation_details"] = {
            **stated,
            **{name: value or None for name, value in sent.items()},
        }
    previous = {
        name: subscription[name] for name, value in wanted.items() if subscription[name] != value
    }
    subscription |= wanted
    return previous


def _set_settings(subscription: Obj, params: Obj) -> Obj:
    previous: Obj = {}
    after: Any
    for name in ("automatic_tax", "trial_settings", "payment_settings", "pause_collection"):
        if name not in params:
            continue
        sent = params[name]
        before: Any = subscription[name]
        if name == "automatic_tax":
            after = starting.tax_settings(enabled=bool(sent["enabled"]))
        elif name == "pause_collection":
            after = {"resumes_at": None, **sent} if sent else None
        else:
            after = {**before, **sent}
        if after != before:
            previous[name] = before
            subscription[name] = after
    return previous


def set_discounts(sim: Simulator, subscription: Obj, params: Obj) -> Obj:
    if "discounts" not in params:
        return {}
    before = list(subscription["discounts"])
    owner = {"customer": subscription["customer"], "subscription": subscription["id"]}
    after = []
    for wanted in params["discounts"] or []:
        if wanted.get("discount"):
            after.append(sim.find("discount", wanted["discount"], "discounts")["id"])
        else:
            after.append(discounts.redeem(sim, wanted, **owner)["id"])
    for key in before:
        if key not in after:
            sim.emit("customer.discount.deleted", sim.find("discount", key))
    subscription["discounts"] = after
    return {"discounts": before} if after != before else {}


def _set_trial(sim: Simulator, subscription: Obj, params: Obj) -> Obj:
    """Another end of the trial, or its end now."""
    wanted = params.get("trial_end")
    if wanted is None:
        return {}
    if wanted == "now":
        return _end_trial(sim, subscription)
    previous = {name: subscription[name] for name in ("trial_end", "billing_cycle_anchor")}
    subscription["trial_end"] = subscription["billing_cycle_anchor"] = wanted
    subscription["trial_start"] = subscription["trial_start"] or sim.now(subscription)
    begin, _ = standing.period_of(sim, subscription)
    starting.set_period(sim, subscription, begin, wanted)
    if wanted > sim.now(subscription) and subscription["status"] != "trialing":
        previous["status"] = subscription["status"]
        subscription["status"] = "trialing"
    return previous


def _end_trial(sim: Simulator, subscription: Obj) -> Obj:
    """The first paid period begins now and is collected at once."""
    if subscription["status"] != "trialing":
        return {}
    names = ("trial_end", "billing_cycle_anchor", "status")
    previous = {name: subscription[name] for name in names}
    subscription["trial_end"] = sim.now(subscription)
    subscription["status"] = "active"
    return previous | _restart(sim, subscription, [])


def _update_ended(sim: Simulator, subscription: Obj, params: Obj) -> None:
    allowed = {"metadata", "cancellation_details"}
    if set(params) - allowed:
        raise StripeError(
            "A canceled subscription can only update its cancellation_details and metadata."
        )
    previous = assign(subscription, params)
    sent = params.get("cancellation_details") or {}
    subscription["cancellation_details"] |= {k: v or None for k, v in sent.items()}
    if previous or sent:
        sim.emit("customer.subscription.updated", subscription, previous)


def _check_sellable(price: Obj, subscription: Obj, at: str) -> None:
    if price["recurring"] is None or not price["active"]:
        raise StripeError(
            f"The price specified is inactive or not recurring: {price['id']}.",
            param=f"{at}[price]",
        )
    if price_in(price, subscription["currency"]) is None:
        raise StripeError(
            f"The price specified only supports `{price['currency']}`. This doesn't match the "
            f"expected currency: `{subscription['currency']}`.",
            param=f"{at}[price]",
        )


def _shown(item: Obj) -> Obj:
    kept = ("id", "object", "price", "quantity", "current_period_start", "current_period_end")
    return {name: item[name] for name in kept if name in item}
