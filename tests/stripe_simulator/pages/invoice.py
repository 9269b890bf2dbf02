"""The hosted invoice: what is owed for what, a button to pay it, and the document."""

from starlette.responses import Response

from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.lifecycle import cards, collection
from tests.stripe_simulator.lifecycle.cards import VERDICTS, Verdict
from tests.stripe_simulator.lifecycle.invoices import ACCOUNT_NAME
from tests.stripe_simulator.money import written
from tests.stripe_simulator.pages.choices import OFFERED_METHODS
from tests.stripe_simulator.pages.invoice_pdf import invoice_pdf
from tests.stripe_simulator.pages.site import Visit, html, message, redirect
from tests.stripe_simulator.pages.words import day, locale_of, say
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


def show(sim: Simulator, visit: Visit) -> Response:
    invoice = _found(sim, visit)
    if visit.method == "GET":
        return _page(sim, invoice)
    if visit.form.get("card") == "3ds":
        return redirect(f"{invoice['hosted_invoice_url']}/challenge")
    try:
        _pay(sim, invoice, visit.form)
    except StripeError as refused:
        return _page(sim, invoice, error=str(refused))
    return redirect(invoice["hosted_invoice_url"])


def challenge(sim: Simulator, visit: Visit) -> Response:
    """The bank asks the payer before it lets a 3-D Secure card pay."""
    invoice = _found(sim, visit)
    if visit.method == "GET":
        remaining = written(invoice["amount_remaining"], invoice["currency"])
        locale = locale_of(sim, invoice)
        return html("challenge.html", locale=locale, seller=ACCOUNT_NAME, total=remaining)
    if visit.form.get("challenge") != "complete":
        return _page(sim, invoice, error="We are unable to authenticate your payment method.")
    _pay(sim, invoice, {"card": "3ds"})
    return redirect(invoice["hosted_invoice_url"])


def document(sim: Simulator, visit: Visit) -> Response:
    invoice = _found(sim, visit)
    locale = locale_of(sim, invoice)
    return Response(
        invoice_pdf(invoice, rows(invoice, locale), totals(invoice), locale=locale),
        media_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{invoice["number"]}.pdf"'},
    )


def credit_note(sim: Simulator, visit: Visit) -> Response:
    """A credit note in the same form, with what it takes off."""
    note = sim.find("credit_note", visit.path["note"])
    invoice = sim.find("invoice", note["invoice"])
    currency = note["currency"]
    lines = [
        {
            "text": line["description"] or "",
            "period": "",
            "quantity": line["quantity"] or 1,
            "amount": written(-line["amount"], currency),
        }
        for line in note["lines"]["data"]
    ]
    sums = [("Of invoice", str(invoice["number"])), ("Credited", written(-note["total"], currency))]
    paper = {**invoice, "number": note["number"], "status": note["status"], "due_date": None}
    return Response(
        invoice_pdf(paper, lines, sums, title="Credit note", locale=locale_of(sim, invoice)),
        media_type="application/pdf",
    )


def receipt(sim: Simulator, visit: Visit) -> Response:
    charge = sim.find("charge", visit.path["charge"])
    amount = written(charge["amount"], charge["currency"])
    back = written(charge["amount_refunded"], charge["currency"])
    text = f"{amount}, {charge['status']}. Refunded: {back}."
    return message(f"Receipt from {ACCOUNT_NAME}", text)


def rows(invoice: Obj, locale: str = "en") -> list[Obj]:
    """The lines as people read them."""
    return [
        {
            "text": line["description"],
            "period": say(
                locale,
                "%(first)s to %(last)s",
                first=day(line["period"]["start"], locale),
                last=day(line["period"]["end"], locale),
            ),
            "quantity": line["quantity"],
            "amount": written(line["amount"], invoice["currency"]),
        }
        for line in invoice["lines"]["data"]
    ]


def totals(invoice: Obj) -> list[tuple[str, str]]:
    """Subtotal, discounts, tax, credit and what is left to pay."""
    currency = invoice["currency"]
    found = [("Subtotal", written(invoice["subtotal"], currency))]
    found += [
        ("Discount", written(-entry["amount"], currency))
        for entry in invoice["total_discount_amounts"]
    ]
    for entry in invoice["total_taxes"]:
        name = "Tax (included)" if entry["tax_behavior"] == "inclusive" else "Tax"
        found.append((name, written(entry["amount"], currency)))
    found.append(("Total", written(invoice["total"], currency)))
    credit = invoice["amount_due"] - invoice["total"]
    if credit:
        found.append(("Applied balance", written(credit, currency)))
    if invoice["amount_paid"]:
        found.append(("Paid", written(-invoice["amount_paid"], currency)))
    found.append(("Amount due", written(invoice["amount_remaining"], currency)))
    return found


def _page(sim: Simulator, invoice: Obj, *, error: str | None = None) -> Response:
    locale = locale_of(sim, invoice)
    return html(
        "invoice.html",
        402 if error else 200,
        locale=locale,
        can_pay=invoice["status"] in {"open", "uncollectible"},
        chosen="success",
        created=day(invoice["status_transitions"]["finalized_at"], locale),
        due=day(invoice["due_date"], locale),
        error=say(locale, error) if error else None,
        invoice=invoice,
        lines=rows(invoice, locale),
        remaining=written(invoice["amount_remaining"], invoice["currency"]),
        seller=ACCOUNT_NAME,
        test_methods=OFFERED_METHODS,
        totals=totals(invoice),
        waiting=_is_waiting(sim, invoice),
    )


def _pay(sim: Simulator, invoice: Obj, form: dict[str, str]) -> None:
    """Pay with a card typed here; it is charged once and not kept as the default."""
    if invoice["status"] not in {"open", "uncollectible"}:
        raise StripeError(f"This invoice is {invoice['status']}.")
    behaviour = form.get("card", "success")
    if behaviour not in cards.BEHAVIOURS:
        raise StripeError("Choose a payment method.")
    method = cards.create_payment_method(sim, behaviour, customer=invoice["customer"])
    method["_sim"]["authenticated"] = behaviour == "3ds"
    sim.emit("payment_method.attached", method)
    verdict: Verdict = VERDICTS["success"] if behaviour == "3ds" else VERDICTS[behaviour]
    said = collection.collect(sim, invoice, method, verdict, by_hand=True)
    if said.status == "failed":
        raise said.refusal()


def _is_waiting(sim: Simulator, invoice: Obj) -> bool:
    intent = collection.intent_of(sim, invoice)
    return bool(intent and intent["status"] == "processing")


def _found(sim: Simulator, visit: Visit) -> Obj:
    """The link carries a secret, as Stripe's does."""
    invoice = sim.find("invoice", visit.path["invoice"])
    if invoice.get("_sim", {}).get("secret") != visit.path["secret"]:
        raise missing("invoice", visit.path["invoice"])
    return invoice
