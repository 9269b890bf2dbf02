"""Credit notes: a finalized invoice is corrected by a second document, never edited."""

from tests.stripe_simulator import ids
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import collection, invoices, payments
from tests.stripe_simulator.routing import metadata_of
from tests.stripe_simulator.shapes import shape
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


def draft(sim: Simulator, params: Obj) -> Obj:
    """The note as it would be; nothing is stored."""
    invoice = sim.find("invoice", params["invoice"], "invoice")
    if invoice["status"] not in {"open", "paid", "uncollectible"}:
        raise StripeError(
            f"You cannot create a credit note for an invoice with status {invoice['status']}.",
            param="invoice",
        )
    lines = _lines(invoice, params)
    total = sum(line["amount"] for line in lines) + _tax_of(lines)
    _check(invoice, total)
    paid = invoice["status"] == "paid"
    before, after = (0, total) if paid else (total, 0)
    key = ids.new_id("credit_note")
    note = shape(
        "credit_note",
        id=key,
        amount=total,
        created=sim.now(invoice),
        currency=invoice["currency"],
        customer=invoice["customer"],
        effective_at=sim.now(invoice),
        invoice=invoice["id"],
        memo=params.get("memo"),
        metadata=metadata_of(params),
        number=f"{invoice['number']}-CN-{_count(sim, invoice) + 1:02d}",
        out_of_band_amount=params.get("out_of_band_amount"),
        pdf=sim.url(f"/credit_notes/{key}/pdf"),
        post_payment_amount=after,
        pre_payment_amount=before,
        reason=params.get("reason"),
        subtotal=sum(line["amount"] for line in lines),
        subtotal_excluding_tax=sum(line["amount"] for line in lines),
        total=total,
        total_excluding_tax=total - _tax_of(lines),
        total_taxes=[entry for line in lines for entry in line["taxes"] or []],
        type="post_payment" if paid else "pre_payment",
    )
    note["lines"] |= {"data": lines, "url": f"/v1/credit_notes/{key}/lines"}
    return note


def issue(sim: Simulator, params: Obj) -> Obj:
    """Reduce what is owed; of a paid invoice, give it back as asked."""
    note = draft(sim, params)
    invoice = sim.find("invoice", note["invoice"])
    sim.store.add("credit_note", note["id"], note)
    note["_sim"] = {}
    if note["type"] == "pre_payment":
        invoice["pre_payment_credit_notes_amount"] += note["total"]
        invoice["amount_due"] -= note["total"]
        invoice["amount_remaining"] -= note["total"]
    else:
        invoice["post_payment_credit_notes_amount"] += note["total"]
        _give_back(sim, invoice, note, params)
    sim.emit("credit_note.created", note)
    if note["type"] == "pre_payment":
        sim.emit("invoice.updated", invoice)
        if invoice["amount_remaining"] == 0:
            collection.mark_paid(sim, invoice)
    return note


def void(sim: Simulator, note: Obj) -> None:
    invoice = sim.find("invoice", note["invoice"])
    if note["status"] != "issued" or note["type"] != "pre_payment" or invoice["status"] != "open":
        raise StripeError("You can only void a credit note of an open invoice.")
    note |= {"status": "void", "voided_at": sim.now(invoice)}
    invoice["pre_payment_credit_notes_amount"] -= note["total"]
    invoice["amount_due"] += note["total"]
    invoice["amount_remaining"] += note["total"]
    sim.emit("credit_note.voided", note)


def _give_back(sim: Simulator, invoice: Obj, note: Obj, params: Obj) -> None:
    """refund_amount to the card, credit_amount to the balance, the rest outside Stripe."""
    refund = int(params.get("refund_amount") or 0)
    credit = int(params.get("credit_amount") or 0)
    outside = int(params.get("out_of_band_amount") or 0)
    if refund + credit + outside == 0:
        credit = note["total"]
    elif refund + credit + outside != note["total"]:
        raise StripeError(
            "The sum of credit amount, refund amount and out of band amount must equal the "
            f"credit note amount ({note['total']})."
        )
    if refund:
        intent = collection.intent_of(sim, invoice)
        if intent is None or intent["latest_charge"] is None:
            raise StripeError("There is no charge to refund.", param="refund_amount")
        charge = sim.find("charge", intent["latest_charge"])
        made = payments.refund(sim, charge, refund)
        note["refunds"] = [
            {"amount_refunded": refund, "payment_record_refund": None, "refund": made["id"],
             "type": "refund"}
        ]  # fmt: skip
    if credit:
        customer = sim.find("customer", invoice["customer"])
        moved = invoices.change_balance(
            sim, customer, -credit, "credit_note", credit_note=note["id"], invoice=invoice["id"]
        )
        note["customer_balance_transaction"] = moved["id"]


def _lines(invoice: Obj, params: Obj) -> list[Obj]:
    """Named lines, or one line for a plain amount."""
    if "amount" in params:
        return [_line(params["amount"], "Credit", None, 1)]
    lines = []
    for sent in params.get("lines") or []:
        if sent["type"] == "custom_line_item":
            unit, quantity = sent.get("unit_amount", 0), sent.get("quantity", 1)
            lines.append(_line(unit * quantity, sent.get("description"), None, quantity))
            continue
        of = {line["id"]: line for line in invoice["lines"]["data"]}
        source = of.get(sent.get("invoice_line_item", ""))
        if source is None:
            raise StripeError("No such line on the invoice.", param="lines")
        amount = sent.get("amount", source["amount"])
        quantity = sent.get("quantity", source["quantity"])
        line = _line(amount, source["description"], source["id"], quantity)
        line["taxes"] = [
            {**entry, "amount": entry["amount"] * amount // (source["amount"] or 1),
             "taxable_amount": amount}
            for entry in source["taxes"]
        ]  # fmt: skip
        lines.append(line)
    if not lines:
        raise StripeError("You must pass either amount or lines.", param="amount")
    return lines


def _line(amount: int, description: str | None, source: str | None, quantity: int) -> Obj:
    return shape(
        "credit_note_line_item",
        id=ids.new_id("credit_note_line_item"),
        amount=amount,
        description=description,
        invoice_line_item=source,
        quantity=quantity,
        taxes=[],
        type="invoice_line_item" if source else "custom_line_item",
    )


def _tax_of(lines: list[Obj]) -> int:
    return sum(
        entry["amount"]
        for line in lines
        for entry in line["taxes"]
        if entry["tax_behavior"] == "exclusive"
    )


def _check(invoice: Obj, total: int) -> None:
    if invoice["status"] == "paid":
        left = invoice["total"] - invoice["post_payment_credit_notes_amount"]
        left -= invoice["pre_payment_credit_notes_amount"]
    else:
        left = invoice["amount_remaining"]
    if total <= 0 or total > left:
        raise StripeError(
            f"The sum of credit notes ({total}) cannot exceed what is left of the invoice ({left})."
        )


def _count(sim: Simulator, invoice: Obj) -> int:
    return len(sim.store.scan("credit_note", invoice=invoice["id"]))
