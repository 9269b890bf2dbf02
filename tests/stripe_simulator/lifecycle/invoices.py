"""Invoices: their lines, discounts, tax and totals, and the way from draft to open."""

from dataclasses import dataclass, field
from typing import Any

from tests.stripe_simulator import ids
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import discounts as offers
from tests.stripe_simulator.lifecycle import tax
from tests.stripe_simulator.shapes import shape
from tests.stripe_simulator.simulator import DAY, HOUR, Simulator
from tests.stripe_simulator.store import Obj

ACCOUNT_NAME = "Ledgerline (simulated)"


@dataclass(kw_only=True)
class Bill:
    """An invoice being written: for a stored one or for a preview that is thrown away."""

    invoice: Obj
    customer: Obj | None
    discounts: list[Obj] = field(default_factory=list)

    @property
    def lines(self) -> list[Obj]:
        lines: list[Obj] = self.invoice["lines"]["data"]
        return lines


def open_bill(
    sim: Simulator, customer: Obj | None, currency: str, reason: str, **values: Any
) -> Bill:
    """A draft that is not stored yet; `keep` stores it."""
    moment = sim.now(customer)
    key = ids.new_id("invoice")
    known = customer or {}
    invoice = shape(
        "invoice",
        id=key,
        account_country="US",
        account_name=ACCOUNT_NAME,
        amount_overpaid=0,
        auto_advance=True,
        automatic_tax=values.pop("automatic_tax", {"enabled": False, "liability": None}),
        billing_reason=reason,
        collection_method=values.pop("collection_method", "charge_automatically"),
        created=moment,
        currency=currency,
        customer=known.get("id", ""),
        customer_address=known.get("address"),
        customer_email=known.get("email"),
        customer_name=known.get("name"),
        customer_phone=known.get("phone"),
        customer_shipping=known.get("shipping"),
        customer_tax_exempt=known.get("tax_exempt", "none"),
        customer_tax_ids=_tax_ids(sim, known.get("id")),
        default_tax_rates=[],
        discounts=[],
        issuer={"type": "self"},
        metadata={},
        period_start=moment,
        period_end=moment,
        rendering=None,
        starting_balance=0,
        status="draft",
        test_clock=known.get("test_clock"),
        total_discount_amounts=[],
        total_taxes=[],
        webhooks_delivered_at=None,
    )
    invoice["lines"]["url"] = f"/v1/invoices/{key}/lines"
    settings = known.get("invoice_settings") or {}
    invoice["custom_fields"] = settings.get("custom_fields")
    invoice["footer"] = settings.get("footer")
    invoice |= values
    return Bill(invoice=invoice, customer=customer)


def keep(sim: Simulator, bill: Bill, **private: Any) -> Obj:
    """Store a bill as a draft invoice and tell of it."""
    invoice = bill.invoice
    invoice["_sim"] = private
    sim.store.add("invoice", invoice["id"], invoice)
    schedule_finalization(sim, invoice)
    sim.emit("invoice.created", invoice)
    return invoice


def schedule_finalization(sim: Simulator, invoice: Obj) -> None:
    due = sim.now(invoice) + HOUR if invoice["auto_advance"] else None
    invoice["automatically_finalizes_at"] = due


def add_line(bill: Bill, amount: int, description: str, **values: Any) -> Obj:
    """One line; `item` and `price` tie it to a subscription item, `proration` marks a part."""
    item, price = values.get("item"), values.get("price")
    proration = bool(values.get("proration"))
    start, end = values["period"]
    line = shape(
        "line_item",
        id=ids.new_id("line_item"),
        amount=amount,
        subtotal=amount,
        currency=bill.invoice["currency"],
        description=description,
        discountable=values.get("discountable", not proration),
        discount_amounts=[],
        discounts=[],
        invoice=bill.invoice["id"],
        metadata=dict(values.get("metadata") or {}),
        period={"start": start, "end": end},
        pretax_credit_amounts=[],
        quantity=values.get("quantity", 1),
        subscription=item["subscription"] if item else None,
        taxes=[],
    )
    line["quantity_decimal"] = str(line["quantity"])
    line["parent"] = _parent(item, values.get("invoice_item"), proration)
    if price:
        line["pricing"] = {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        }
    bill.lines.append(line)
    return line


def total(sim: Simulator, bill: Bill) -> Obj:
    """Discounts, tax and sums from the lines; may be called again after a change."""
    invoice = bill.invoice
    inclusive = _apply_discounts(sim, bill)
    included, added = _apply_tax(sim, bill, inclusive)
    subtotal = sum(line["amount"] for line in bill.lines)
    off = sum(entry["amount"] for entry in invoice["total_discount_amounts"])
    invoice |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - included,
        "total": subtotal - off + added,
        "total_excluding_tax": subtotal - off - included,
    }
    _apply_balance(invoice, bill.customer)
    return invoice


def bill_of(sim: Simulator, invoice: Obj) -> Bill:
    customer = sim.find("customer", invoice["customer"])
    found = [sim.find("discount", key) for key in invoice["discounts"]]
    return Bill(invoice=invoice, customer=customer, discounts=found)


def finalize(sim: Simulator, invoice: Obj) -> Obj:
    """Number it and open it; the amounts stand from here on."""
    if invoice["status"] != "draft":
        raise StripeError(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    customer = sim.find("customer", invoice["customer"])
    moment = sim.now(invoice)
    total(sim, bill_of(sim, invoice))
    _settle_balance(sim, invoice, customer)
    invoice["number"] = _next_number(customer)
    invoice["status"] = "open"
    invoice["effective_at"] = moment
    invoice["automatically_finalizes_at"] = None
    invoice["status_transitions"]["finalized_at"] = moment
    if invoice["collection_method"] == "send_invoice" and invoice["due_date"] is None:
        invoice["due_date"] = moment + invoice["_sim"].get("days_until_due", 30) * DAY
    secret = ids.random_text(32)
    invoice["_sim"]["secret"] = secret
    invoice["hosted_invoice_url"] = sim.url(f"/i/{invoice['id']}/{secret}")
    invoice["invoice_pdf"] = sim.url(f"/i/{invoice['id']}/{secret}/pdf")
    sim.emit("invoice.finalized", invoice)
    return invoice


def void(sim: Simulator, invoice: Obj) -> None:
    invoice["status"] = "void"
    invoice["auto_advance"] = False
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"]["voided_at"] = sim.now(invoice)
    sim.emit("invoice.voided", invoice)


def subscription_of(invoice: Obj) -> str | None:
    parent = invoice["parent"] or {}
    details = parent.get("subscription_details") or {}
    found: str | None = details.get("subscription")
    return found


def for_subscription(subscription: Obj) -> Obj:
    """The `parent` of an invoice that a subscription made."""
    return {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
        },
    }


def _parent(item: Obj | None, invoice_item: str | None, proration: bool) -> Obj:
    if item is None:
        return {
            "type": "invoice_item_details",
            "subscription_item_details": None,
            "invoice_item_details": {
                "invoice_item": invoice_item or "",
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": None,
            },
        }
    return {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": invoice_item,
            "proration": proration,
            "proration_details": {"credited_items": None},
            "subscription": item["subscription"],
            "subscription_item": item["id"],
        },
    }


def _apply_discounts(sim: Simulator, bill: Bill) -> list[bool]:
    """Write each line's share of every discount; return which lines include their tax."""
    invoice = bill.invoice
    invoice["discounts"] = [discount["id"] for discount in bill.discounts]
    invoice["total_discount_amounts"] = []
    for line in bill.lines:
        line["discount_amounts"] = []
    for discount in bill.discounts:
        coupon = offers.coupon_of(sim, discount)
        amounts = [_discountable(line, coupon) for line in bill.lines]
        taken = offers.shares(coupon, amounts, invoice["currency"])
        for line, amount in zip(bill.lines, taken, strict=True):
            if amount:
                line["discount_amounts"].append({"amount": amount, "discount": discount["id"]})
        invoice["total_discount_amounts"].append({"amount": sum(taken), "discount": discount["id"]})
    return [_includes_tax(sim, line) for line in bill.lines]


def _discountable(line: Obj, coupon: Obj) -> int:
    """What of a line a coupon may still reduce."""
    products = (coupon.get("_sim") or {}).get("applies_to")
    details = (line["pricing"] or {}).get("price_details") or {}
    if not line["discountable"] or (
        products and details.get("product") not in products["products"]
    ):
        return 0
    left: int = line["amount"] - sum(entry["amount"] for entry in line["discount_amounts"])
    return left


def _apply_tax(sim: Simulator, bill: Bill, inclusive: list[bool]) -> tuple[int, int]:
    """Tax within the prices and tax on top of them."""
    invoice = bill.invoice
    invoice["total_taxes"] = []
    enabled = invoice["automatic_tax"]["enabled"]
    rate = tax.rate_for(sim, bill.customer) if enabled else None
    if enabled:
        known = tax.country_of(bill.customer) is not None
        invoice["automatic_tax"]["status"] = "complete" if known else "requires_location_inputs"
        invoice["automatic_tax"]["provider"] = "stripe"
    sums = {True: [0, 0], False: [0, 0]}
    for line, within in zip(bill.lines, inclusive, strict=True):
        line["taxes"] = []
        if rate is None:
            continue
        base = line["amount"] - sum(entry["amount"] for entry in line["discount_amounts"])
        due = tax.tax_on(base, rate, inclusive=within)
        taxable = base - due if within else base
        line["taxes"].append(tax.tax_entry(due, taxable, rate, inclusive=within))
        sums[within][0] += due
        sums[within][1] += taxable
    if rate is not None:
        invoice["total_taxes"] = [
            tax.tax_entry(due, taxable, rate, inclusive=within)
            for within, (due, taxable) in sums.items()
            if within in inclusive
        ]
    return sums[True][0], sums[False][0]


def _includes_tax(sim: Simulator, line: Obj) -> bool:
    details = (line["pricing"] or {}).get("price_details") or {}
    price = sim.store.get("price", details.get("price") or "")
    return bool(price and price["tax_behavior"] == "inclusive")


def _apply_balance(invoice: Obj, customer: Obj | None) -> None:
    """What the customer's credit leaves to pay; a negative total becomes credit."""
    balance = (customer or {}).get("balance", 0) if invoice["status"] == "draft" else None
    if balance is not None:
        invoice["starting_balance"] = balance
    due = max(0, invoice["total"] + invoice["starting_balance"])
    invoice["amount_due"] = due
    invoice["amount_remaining"] = due - invoice["amount_paid"]


def _settle_balance(sim: Simulator, invoice: Obj, customer: Obj) -> None:
    used = invoice["total"] - invoice["amount_due"]
    if used:
        kind = "applied_to_invoice"
        change_balance(sim, customer, used, kind, invoice=invoice["id"])
    invoice["ending_balance"] = customer["balance"]


def change_balance(sim: Simulator, customer: Obj, amount: int, kind: str, **values: Any) -> Obj:
    """Move a customer's balance: negative is credit, positive is owed on the next invoice."""
    customer["balance"] += amount
    return sim.create(
        "customer_balance_transaction",
        amount=amount,
        created=sim.now(customer),
        currency=values.pop("currency", None) or customer["currency"] or "usd",
        customer=customer["id"],
        ending_balance=customer["balance"],
        type=kind,
        **{"metadata": {}, **values},
    )


def _next_number(customer: Obj) -> str:
    sequence: int = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = sequence + 1
    return f"{customer['invoice_prefix']}-{sequence:04d}"


def _tax_ids(sim: Simulator, customer: str | None) -> list[Obj]:
    owned = sim.store.where("tax_id", customer=customer) if customer else []
    return [{"type": one["type"], "value": one["value"]} for one in owned]
