"""One word and one colour for a state. Colours: good, warn, bad, accent, or none."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import Access, EffectivePlan, Invoice


@dataclass(frozen=True)
class Pill:
    label: Promise
    tone: str = ""


_BY_STATUS = {
    "active": Pill(_("Active"), "good"),
    "trialing": Pill(_("Trial"), "accent"),
    "past_due": Pill(_("Payment failed"), "bad"),
    "unpaid": Pill(_("Unpaid"), "bad"),
    "paused": Pill(_("Paused"), "warn"),
    "incomplete": Pill(_("Payment not finished"), "warn"),
    "canceled": Pill(_("Ended")),
    "incomplete_expired": Pill(_("Ended")),
}
_BY_INVOICE_STATUS = {
    Invoice.Status.DRAFT: Pill(_("Draft")),
    Invoice.Status.OPEN: Pill(_("Due"), "warn"),
    Invoice.Status.PAID: Pill(_("Paid"), "good"),
    Invoice.Status.VOID: Pill(_("Void")),
    Invoice.Status.UNCOLLECTIBLE: Pill(_("Unpaid"), "bad"),
}


def of_plan(effective: EffectivePlan) -> Pill:
    """The lock first, then what was decided, then Stripe's own word."""
    if effective.access == Access.READ_ONLY:
        return Pill(_("Read-only"), "bad")
    if effective.reason == "payment_failed_grace":
        return _BY_STATUS["past_due"]  # the invoice may be heard of before its subscription is
    if effective.is_beta:
        return Pill(_("Beta"), "accent")
    if effective.status == "active" and effective.ends_at is not None:
        return Pill(_("Ending"), "warn")
    return _BY_STATUS.get(effective.status, Pill(_("Unknown")))


def of_invoice(invoice: Invoice) -> Pill:
    """A refund says more than the payment it undid, a failed attempt more than `open`."""
    if invoice.disputed:
        return Pill(_("Disputed"), "warn")
    if invoice.amount_refunded:
        whole = invoice.amount_refunded >= invoice.amount_paid
        return Pill(_("Refunded")) if whole else Pill(_("Partly refunded"))
    if invoice.status == Invoice.Status.OPEN and invoice.attempt_count:
        return Pill(_("Payment failed"), "bad")
    if invoice.status == Invoice.Status.PAID and invoice.attempt_count > 1:
        return Pill(_("Paid on retry"), "warn")
    return _BY_INVOICE_STATUS[Invoice.Status(invoice.status)]
