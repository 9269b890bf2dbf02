"""Words for payments that need somebody: the bank took one back, or wants one confirmed."""

from typing import Any, Final

from django.utils.translation import gettext as _

from billing import catalog
from billing.catalog.money import format_money
from billing.models import EffectivePlan, Invoice

DISPUTE_LOST: Final = "dispute_lost_lock"


def of_lost_dispute(effective: EffectivePlan) -> dict[str, Any]:
    """Nothing can be paid here: the money went back through the bank, and people settle it."""
    invoice = Invoice.objects.filter(
        organization=effective.organization, dispute_status="lost", dispute_settled_at=None
    ).first()
    sentences = [
        _("You can read, download and export everything."),
        _("Write to %(support)s to settle it.")
        % {"support": str(catalog.current().contacts.support)},
    ]
    if invoice is not None:
        taken = _("Your bank took back %(amount)s of invoice %(number)s.") % {
            "amount": format_money(invoice.amount_paid, invoice.currency),
            "number": invoice.number,
        }
        sentences.insert(0, taken)
    return {
        "title": _("This workspace is read-only"),
        "text": " ".join(sentences),
        "level": "bad",
        "icon": "lock",
    }


def of_pending_change(effective: EffectivePlan) -> dict[str, Any] | None:
    """None where no change waits, or its invoice has been settled meanwhile."""
    waiting = (
        effective.organization.subscriptions.standing()
        .exclude(pending_invoice_id="")
        .values_list("pending_invoice_id", flat=True)
    )
    invoice = Invoice.objects.filter(
        stripe_id__in=waiting, status=Invoice.Status.OPEN, amount_remaining__gt=0
    ).first()
    if invoice is None or not invoice.hosted_url:
        return None
    return {
        "title": _("Confirm your payment with your bank"),
        "text": _(
            "The change costs %(amount)s and happens when it is paid. Until then nothing changes."
        )
        % {"amount": format_money(invoice.amount_remaining, invoice.currency)},
        "level": "warn",
        "icon": "warn",
        "url": invoice.hosted_url,
    }
