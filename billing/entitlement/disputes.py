"""A lost dispute is settled by people: the money came another way, or nobody wants it any more."""

from django.db import transaction
from django.utils import timezone

from billing.entitlement import store
from billing.models import EffectivePlan, Invoice
from orgs import audit
from orgs.models import User


@transaction.atomic
def settle(invoice: Invoice, *, actor: User | audit.Actor) -> EffectivePlan:
    """From now on it restricts nothing. A second time changes nothing."""
    open_ones = Invoice.objects.filter(pk=invoice.pk, dispute_settled_at=None)
    if open_ones.exclude(dispute_status="").update(dispute_settled_at=timezone.now()):
        audit.record(
            "billing.dispute_settled",
            organization=invoice.organization,
            actor=actor,
            target=invoice.number or invoice.stripe_id,
            before={"dispute": invoice.dispute_status},
        )
    return store.rederive(invoice.organization, cause=f"dispute of {invoice.stripe_id} settled")
