"""Starting a subscription: its items, its first period, its first invoice."""

from dataclasses import dataclass, field
from typing import Any

from tests.stripe_simulator.errors import StripeError, required
from tests.stripe_simulator.lifecycle import collection, discounts, invoices, standing, tax
from tests.stripe_simulator.lifecycle.cards import Verdict
from tests.stripe_simulator.lifecycle.invoices import Bill
from tests.stripe_simulator.money import amount_of, price_in, written
from tests.stripe_simulator.periods import add_interval
from tests.stripe_simulator.routing import metadata_of
from tests.stripe_simulator.simulator import DAY, Simulator
from tests.stripe_simulator.store import Obj

# The warning of a trial's end: three days before, or at once for a shorter trial.
TRIAL_WARNING = 3 * DAY


@dataclass(kw_only=True)
class Offer:
    """What is to be sold, checked: prices with quantities in one currency and interval."""

    currency: str
    lines: list[tuple[Obj, int, Obj]]  # price, quantity, the item's own parameters
    trial_end: int | None = None
    discounts: list[Obj] = field(default_factory=list)

    @property
    def recurring(self) -> Obj:
        terms: Obj = self.lines[0][0]["recurring"]
        return terms


@dataclass(frozen=True, kw_only=True)
class Sold:
    """A price in a quantity, and the subscription item that stands for it."""

    price: Obj
    quantity: int
    item: Obj | None = None


def read_offer(sim: Simulator, customer: Obj | None, params: Obj) -> Offer:
    """The items of a request; raises Stripe's refusals for what cannot be sold together."""
    wanted = params.get("items") or []
    if not wanted:
        raise required("items")
    prices = [_price_of(sim, item, index) for index, item in enumerate(wanted)]
    currency = params.get("currency") or prices[0]["currency"]
    intervals = {(p["recurring"]["interval"], p["recurring"]["interval_count"]) for p in prices}
    if len(intervals) > 1:
        raise StripeError(
            "All prices on a subscription must have the same `recurring.interval` and "
            "`recurring.interval_count`.",
            param="items",
        )
    for price in prices:
        if price_in(price, currency) is None:
            raise StripeError(
                f"The price specified only supports `{price['currency']}`. This doesn't match the "
                f"expected currency: `{currency}`.",
                param="currency",
            )
    check_currency(sim, customer, currency)
    quantities = [_quantity(item, price) for item, price in zip(wanted, prices, strict=True)]
    return Offer(
        currency=currency,
        lines=list(zip(prices, quantities, wanted, strict=True)),
        trial_end=_trial_end(sim, customer, params),
    )


def check_currency(sim: Simulator, customer: Obj | None, currency: str) -> None:
    """One customer pays in one currency while anything of theirs is running."""
    if customer is None or customer["currency"] in {None, currency}:
        return
    running = [
        one
        for one in sim.store.where("subscription", customer=customer["id"])
        if one["status"] not in standing.ENDED
    ]
    if running:
        raise StripeError(
            "You cannot combine currencies on a single customer. This customer has an active "
            "subscription, subscription schedule, discount, quote, or invoice item with currency "
            f"{customer['currency']}",
            param="currency",
        )


def quote(sim: Simulator, customer: Obj | None, offer: Offer, *, automatic_tax: bool) -> Bill:
    """The first invoice as it would be: nothing is stored."""
    moment = sim.now(customer)
    bill = invoices.open_bill(
        sim,
        customer,
        offer.currency,
        "subscription_create",
        automatic_tax=tax_settings(enabled=automatic_tax),
    )
    bill.discounts = list(offer.discounts)
    end = offer.trial_end or add_interval(moment, offer.recurring)
    for price, quantity, _ in offer.lines:
        sold = Sold(price=price, quantity=quantity)
        write_period(sim, bill, sold, (moment, end), trial=bool(offer.trial_end))
    invoices.total(sim, bill)
    return bill


def write_period(
    sim: Simulator, bill: Bill, sold: Sold, period: tuple[int, int], *, trial: bool = False
) -> None:
    """The line for one price over one period, in advance; nothing is due during a trial."""
    price, quantity, item = sold.price, sold.quantity, sold.item
    name = sim.find("product", price["product"])["name"]
    metered = price["recurring"]["usage_type"] == "metered"
    if trial:
        invoices.add_line(
            bill, 0, f"Trial period for {name}", price=price, item=item, period=period,
            quantity=quantity or 1,
        )  # fmt: skip
        return
    count = 0 if metered else quantity
    amount = amount_of(price, count, bill.invoice["currency"])
    invoices.add_line(
        bill,
        amount,
        f"{count} x {name} {_each(price, bill.invoice['currency'])}",
        price=price,
        item=item,
        period=period,
        quantity=count,
    )


def start(
    sim: Simulator,
    customer: Obj,
    params: Obj,
    *,
    offer: Offer | None = None,
    verdict: Verdict | None = None,
) -> Obj:
    """Create a subscription, bill its first period and try to collect it."""
    offer = offer or read_offer(sim, customer, params)
    subscription = _record(sim, customer, params, offer)
    for wanted in params.get("discounts") or []:
        owner = {"customer": customer["id"], "subscription": subscription["id"]}
        discount = discounts.redeem(sim, wanted, **owner)
        subscription["discounts"].append(discount["id"])
    _claim_currency(sim, customer, offer.currency)
    # Checkout was seen to tell of a subscription once, when its first payment is known.
    by_checkout = verdict is not None
    if by_checkout:
        subscription["_sim"]["unannounced"] = True
    else:
        sim.emit("customer.subscription.created", subscription)
    _bill_first_period(sim, subscription, offer, params, verdict)
    if subscription["_sim"].pop("unannounced", False):
        sim.emit("customer.subscription.created", subscription)
    if offer.trial_end and offer.trial_end - sim.now(subscription) <= TRIAL_WARNING:
        subscription["_sim"]["warned_of"] = offer.trial_end
        sim.emit("customer.subscription.trial_will_end", subscription)
    return subscription


def sold_by(sim: Simulator, item: Obj) -> Sold:
    price = sim.find("price", item["price"])
    return Sold(price=price, quantity=item.get("quantity", 0), item=item)


def tax_settings(*, enabled: bool) -> Obj:
    liability = {"type": "self"} if enabled else None
    return {"enabled": enabled, "liability": liability, "disabled_reason": None}


def running_discounts(sim: Simulator, subscription: Obj, moment: int) -> list[Obj]:
    found = [sim.find("discount", key) for key in subscription["discounts"]]
    return [one for one in found if discounts.is_running(sim, one, moment)]


def drop_used_discounts(sim: Simulator, subscription: Obj) -> None:
    """A coupon of duration `once` ends with the first invoice that carried it."""
    for key in list(subscription["discounts"]):
        discount = sim.find("discount", key)
        if discounts.coupon_of(sim, discount)["duration"] == "once":
            subscription["discounts"].remove(key)
            discount["end"] = sim.now(subscription)
            sim.emit("customer.discount.deleted", discount)


def add_item(sim: Simulator, subscription: Obj, price: Obj, quantity: int, wanted: Obj) -> Obj:
    start_at, end_at = subscription["_sim"]["period"]
    item = sim.create(
        "subscription_item",
        billing_thresholds=None,
        created=sim.now(subscription),
        current_period_start=start_at,
        current_period_end=end_at,
        discounts=[],
        metadata=metadata_of(wanted),
        subscription=subscription["id"],
        tax_rates=[],
    )
    item["price"] = price["id"]
    item["plan"] = price["id"]
    if price["recurring"]["usage_type"] == "metered":
        item.pop("quantity", None)
    else:
        item["quantity"] = quantity
    return item


def set_period(sim: Simulator, subscription: Obj, begin: int, end: int) -> None:
    subscription["_sim"]["period"] = [begin, end]
    for item in standing.items_of(sim, subscription):
        item["current_period_start"], item["current_period_end"] = begin, end


def _record(sim: Simulator, customer: Obj, params: Obj, offer: Offer) -> Obj:
    moment = sim.now(customer)
    end = offer.trial_end or add_interval(moment, offer.recurring)
    settings = params.get("payment_settings") or {}
    trial = (params.get("trial_settings") or {}).get("end_behavior") or {}
    subscription = sim.create(
        "subscription",
        automatic_tax=tax_settings(enabled=wants_tax(params)),
        billing_cycle_anchor=offer.trial_end or moment,
        billing_mode={"type": "flexible", "flexible": {"proration_discounts": "included"}},
        cancel_at=params.get("cancel_at") or None,
        cancel_at_period_end=params.get("cancel_at_period_end", False),
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        collection_method=params.get("collection_method", "charge_automatically"),
        created=moment,
        currency=offer.currency,
        customer=customer["id"],
        days_until_due=params.get("days_until_due"),
        default_payment_method=params.get("default_payment_method"),
        default_tax_rates=[],
        description=params.get("description"),
        discounts=[],
        invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}},
        metadata=metadata_of(params),
        payment_settings={
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": settings.get("save_default_payment_method", "off"),
        },
        start_date=moment,
        status="trialing" if offer.trial_end else "incomplete",
        test_clock=customer["test_clock"],
        trial_end=offer.trial_end,
        trial_start=moment if offer.trial_end else None,
        trial_settings={
            "end_behavior": {
                "missing_payment_method": trial.get("missing_payment_method", "create_invoice")
            }
        },
    )
    subscription["_sim"] = {"period": [moment, end]}
    for price, quantity, wanted in offer.lines:
        add_item(sim, subscription, price, quantity, wanted)
    return subscription


def _bill_first_period(
    sim: Simulator, subscription: Obj, offer: Offer, params: Obj, verdict: Verdict | None
) -> None:
    customer = sim.find("customer", subscription["customer"])
    bill = invoices.open_bill(
        sim,
        customer,
        offer.currency,
        "subscription_create",
        automatic_tax=dict(subscription["automatic_tax"]),
        collection_method=subscription["collection_method"],
        parent=invoices.for_subscription(subscription),
    )
    bill.discounts = running_discounts(sim, subscription, sim.now(customer))
    period = tuple(subscription["_sim"]["period"])
    for item in standing.items_of(sim, subscription):
        write_period(sim, bill, sold_by(sim, item), period, trial=bool(offer.trial_end))
    invoices.total(sim, bill)
    _check_tax_location(bill)
    invoice = invoices.keep(
        sim,
        bill,
        subscription=subscription["id"],
        days_until_due=subscription["days_until_due"] or 30,
    )
    subscription["latest_invoice"] = invoice["id"]
    drop_used_discounts(sim, subscription)
    _collect_first(sim, subscription, invoice, params, verdict)


def _collect_first(
    sim: Simulator, subscription: Obj, invoice: Obj, params: Obj, verdict: Verdict | None
) -> None:
    if subscription["collection_method"] == "send_invoice":
        subscription["status"] = "trialing" if subscription["trial_end"] else "active"
        return
    invoices.finalize(sim, invoice)
    if invoice["amount_due"] == 0:
        collection.mark_paid(sim, invoice)
        return
    behaviour = params.get("payment_behavior", "allow_incomplete")
    if behaviour == "default_incomplete":
        collection._open_payment(sim, invoice)
        return
    said = collection.collect(sim, invoice, verdict=verdict)
    if said.status == "failed" and behaviour == "error_if_incomplete":
        refusal = said.refusal()
        refusal.keeps_changes = False
        raise refusal
    if said.status == "processing" and sim.options["delayed_payment_subscription"] == "active":
        standing.change(sim, subscription, status="active")


def _price_of(sim: Simulator, item: Obj, index: int) -> Obj:
    key = item.get("price")
    if not key:
        raise required(f"items[{index}][price]")
    price = sim.find("price", key, f"items[{index}][price]")
    if price["recurring"] is None:
        raise StripeError(
            "The price specified is set to `type=one_time` but this field only accepts prices "
            "with `type=recurring`.",
            param=f"items[{index}][price]",
        )
    if not price["active"]:
        raise StripeError(
            f"The price specified is inactive. This field only accepts active prices: {key}.",
            param=f"items[{index}][price]",
        )
    return price


def _quantity(item: Obj, price: Obj) -> int:
    if price["recurring"]["usage_type"] == "metered":
        return 0
    return int(item.get("quantity", 1))


def _trial_end(sim: Simulator, customer: Obj | None, params: Obj) -> int | None:
    moment = sim.now(customer)
    if params.get("trial_period_days"):
        return moment + int(params["trial_period_days"]) * DAY
    wanted = params.get("trial_end")
    if isinstance(wanted, int):
        if wanted <= moment:
            raise StripeError("Invalid timestamp: must be an integer Unix timestamp in the future.",
                              param="trial_end")  # fmt: skip
        return wanted
    return None


def wants_tax(params: Obj) -> bool:
    return bool((params.get("automatic_tax") or {}).get("enabled"))


def _check_tax_location(bill: Bill) -> None:
    if bill.invoice["automatic_tax"]["enabled"] and tax.country_of(bill.customer) is None:
        raise StripeError(
            "The customer's location isn't recognized. Set a valid customer address in order to "
            "automatically calculate tax.",
            code="customer_tax_location_invalid",
        )


def _claim_currency(sim: Simulator, customer: Obj, currency: str) -> None:
    if customer["currency"] != currency:
        before = customer["currency"]
        customer["currency"] = currency
        sim.emit("customer.updated", customer, {"currency": before})


def _each(price: Obj, currency: str) -> str:
    """The price of one in words: (at $12.00 / month)."""
    terms: dict[str, Any] = price_in(price, currency) or {}
    per = price["recurring"]["interval"]
    if price["billing_scheme"] == "tiered" or terms.get("unit_amount") is None:
        return f"(per {per})"
    return f"(at {written(terms['unit_amount'], currency)} / {per})"
