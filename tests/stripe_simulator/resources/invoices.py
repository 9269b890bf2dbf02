"""Invoices, their lines, payments and the acts on them."""

from tests.stripe_simulator import rendering
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import collection, invoices, preview
from tests.stripe_simulator.resources.catalog import bury
from tests.stripe_simulator.routing import (
    Call,
    assign,
    endpoint,
    metadata_of,
    paginate,
    within,
)
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/invoices")
def create(call: Call) -> Obj:
    """A one-off invoice; pending invoice items of the customer go onto it unless excluded."""
    sim, params = call.sim, call.params
    customer = sim.find_live("customer", params.get("customer", ""), "customer")
    currency = params.get("currency") or customer["currency"] or "usd"
    bill = invoices.open_bill(
        sim,
        customer,
        currency,
        "manual",
        auto_advance=params.get("auto_advance", False),
        automatic_tax=_automatic_tax(params),
        collection_method=params.get("collection_method", "charge_automatically"),
        description=params.get("description"),
        metadata=metadata_of(params),
    )
    if params.get("custom_fields"):
        bill.invoice["custom_fields"] = params["custom_fields"]
    if params.get("due_date"):
        bill.invoice["due_date"] = params["due_date"]
    if params.get("pending_invoice_items_behavior", "exclude") == "include":
        _take_pending(call, bill)
    invoices.total(sim, bill)
    invoice = invoices.keep(sim, bill, days_until_due=params.get("days_until_due", 30))
    return call.shown(invoice)


@endpoint("GET", "/v1/invoices")
def list_invoices(call: Call) -> Obj:
    params = call.params
    wanted = {
        name: params[name] for name in ("customer", "status", "collection_method") if name in params
    }
    return call.listed(
        invoice
        for invoice in call.sim.store.scan("invoice", **wanted)
        if not invoice.get("deleted")
        and params.get("subscription") in {None, invoice["_sim"].get("subscription")}
        and within(invoice["created"], params.get("created"))
        and within(invoice["due_date"], params.get("due_date"))
    )


@endpoint("POST", "/v1/invoices/create_preview")
def create_preview(call: Call) -> Obj:
    return rendering.render(call.sim, preview.preview(call.sim, call.params))


@endpoint("GET", "/v1/invoices/{invoice}")
def retrieve(call: Call) -> Obj:
    return call.shown(_invoice(call))


@endpoint("POST", "/v1/invoices/{invoice}")
def update(call: Call) -> Obj:
    invoice = _invoice(call)
    previous = assign(
        invoice, call.params, "auto_advance", "custom_fields", "default_payment_method",
        "description", "due_date", "footer", "collection_method",
    )  # fmt: skip
    if "auto_advance" in previous and invoice["status"] == "draft":
        invoices.schedule_finalization(call.sim, invoice)
    if previous:
        call.sim.emit("invoice.updated", invoice, previous)
    return call.shown(invoice)


@endpoint("DELETE", "/v1/invoices/{invoice}")
def delete(call: Call) -> Obj:
    invoice = _invoice(call)
    if invoice["status"] != "draft":
        raise StripeError("You can only delete draft invoices.", code="invoice_not_editable")
    call.sim.emit("invoice.deleted", invoice)
    return bury(invoice)


@endpoint("GET", "/v1/invoices/{invoice}/lines")
def lines(call: Call) -> Obj:
    found = _invoice(call)["lines"]["data"]
    return paginate(found, call.params, call.url, dict)


@endpoint("POST", "/v1/invoices/{invoice}/finalize")
def finalize(call: Call) -> Obj:
    invoice = _invoice(call)
    if "auto_advance" in call.params:
        invoice["auto_advance"] = call.params["auto_advance"]
    invoices.finalize(call.sim, invoice)
    if invoice["amount_due"] == 0:
        collection.mark_paid(call.sim, invoice)
    elif invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        collection.collect(call.sim, invoice)
    return call.shown(invoice)


@endpoint("POST", "/v1/invoices/{invoice}/pay")
def pay(call: Call) -> Obj:
    sim, params = call.sim, call.params
    invoice = _invoice(call)
    if invoice["status"] == "draft":
        invoices.finalize(sim, invoice)
    if invoice["status"] not in {"open", "uncollectible"}:
        code = "invoice_already_paid" if invoice["status"] == "paid" else None
        raise StripeError(f"Invoice is already {invoice['status']}", code=code)
    if params.get("paid_out_of_band"):
        invoice["_sim"]["out_of_band"] = True
        collection.mark_paid(sim, invoice)
        return call.shown(invoice)
    method = None
    if params.get("payment_method"):
        method = sim.find("payment_method", params["payment_method"], "payment_method")
    method = method or collection.method_for(sim, invoice)
    if method is None and invoice["amount_remaining"]:
        raise StripeError(
            "There is no `default_payment_method` set on this Customer or Invoice. Please set "
            "one, or pass a `payment_method`.",
            code="invoice_payment_intent_requires_action",
        )
    verdict = collection.collect(sim, invoice, method, by_hand=True)
    if verdict.status in {"failed", "requires_action"}:
        intent = collection.intent_of(sim, invoice)
        extra = {"payment_intent": call.shown(intent)} if intent else {}
        raise verdict.refusal(**extra)
    return call.shown(invoice)


@endpoint("POST", "/v1/invoices/{invoice}/send")
def send(call: Call) -> Obj:
    invoice = _invoice(call)
    if invoice["status"] == "draft":
        invoices.finalize(call.sim, invoice)
    call.sim.emit("invoice.sent", invoice)
    return call.shown(invoice)


@endpoint("POST", "/v1/invoices/{invoice}/void")
def void(call: Call) -> Obj:
    invoice = _invoice(call)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise StripeError("You can only pass in open or uncollectible invoices.")
    invoices.void(call.sim, invoice)
    return call.shown(invoice)


@endpoint("POST", "/v1/invoices/{invoice}/mark_uncollectible")
def mark_uncollectible(call: Call) -> Obj:
    invoice = _invoice(call)
    if invoice["status"] != "open":
        raise StripeError("You can only mark open invoices as uncollectible.")
    invoice |= {"status": "uncollectible", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["marked_uncollectible_at"] = call.sim.now(invoice)
    call.sim.emit("invoice.marked_uncollectible", invoice)
    return call.shown(invoice)


@endpoint("GET", "/v1/invoice_payments")
def list_payments(call: Call) -> Obj:
    params = call.params
    wanted = {name: params[name] for name in ("invoice", "status") if name in params}
    by = params.get("payment") or {}
    intent = by.get("payment_intent")
    return call.listed(
        one
        for one in call.sim.store.scan("invoice_payment", **wanted)
        if intent in {None, one["payment"].get("payment_intent")}
    )


@endpoint("GET", "/v1/invoice_payments/{invoice_payment}")
def retrieve_payment(call: Call) -> Obj:
    return call.shown(call.sim.find("invoice_payment", call.path["invoice_payment"]))


@endpoint("POST", "/v1/invoiceitems")
def create_item(call: Call) -> Obj:
    sim, params = call.sim, call.params
    customer = sim.find_live("customer", params.get("customer", ""), "customer")
    item = preview.new_invoice_item(sim, customer, params)
    sim.emit("invoiceitem.created", item)
    if params.get("invoice"):
        invoice = sim.find("invoice", params["invoice"], "invoice")
        bill = invoices.bill_of(sim, invoice)
        preview.write_invoice_item(sim, bill, item)
        invoices.total(sim, bill)
    return call.shown(item)


@endpoint("GET", "/v1/invoiceitems")
def list_items(call: Call) -> Obj:
    pending = call.params.get("pending")
    wanted = {name: call.params[name] for name in ("customer", "invoice") if name in call.params}
    return call.listed(
        item
        for item in call.sim.store.scan("invoiceitem", **wanted)
        if pending is None or pending == (item["invoice"] is None)
    )


@endpoint("GET", "/v1/invoiceitems/{invoiceitem}")
def retrieve_item(call: Call) -> Obj:
    return call.shown(call.sim.find("invoiceitem", call.path["invoiceitem"]))


@endpoint("DELETE", "/v1/invoiceitems/{invoiceitem}")
def delete_item(call: Call) -> Obj:
    item = call.sim.find("invoiceitem", call.path["invoiceitem"])
    if item["invoice"]:
        raise StripeError("This invoice item is already attached to an invoice.")
    call.sim.emit("invoiceitem.deleted", item)
    return bury(item)


def _invoice(call: Call) -> Obj:
    return call.sim.find_live("invoice", call.path["invoice"])


def _automatic_tax(params: Obj) -> Obj:
    enabled = bool((params.get("automatic_tax") or {}).get("enabled"))
    return {"enabled": enabled, "liability": {"type": "self"} if enabled else None}


def _take_pending(call: Call, bill: invoices.Bill) -> None:
    for item in call.sim.store.where("invoiceitem", customer=bill.invoice["customer"]):
        if item.get("invoice") is None and not item.get("deleted"):
            preview.write_invoice_item(call.sim, bill, item)
