"""What has to be paid before anything else is bought."""

from billing.models import EffectivePlan, Invoice

_UNPAID = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)


def of(effective: EffectivePlan) -> Invoice | None:
    """The invoice that grace, lock or downgrade rest on, else the first one that never was paid."""
    owed = Invoice.objects.filter(organization=effective.organization)
    if effective.owed_invoice:
        return owed.filter(stripe_id=effective.owed_invoice).first()
    if not effective.unpaid_subscriptions:
        return None
    return owed.filter(
        subscription_id__in=effective.unpaid_subscriptions,
        status__in=_UNPAID,
        amount_remaining__gt=0,
    ).first()
