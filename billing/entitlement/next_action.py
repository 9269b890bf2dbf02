"""The one thing a person should do next about an organization's plan."""

from billing.models import Access, EffectivePlan, Source


def of(effective: EffectivePlan) -> str | None:
    """`contact_support` (a lost dispute), `pay_invoice`, `resume`, `upgrade`, or None.

    `resume` stands before a cancellation takes effect.
    """
    if effective.reason == "dispute_lost_lock" or effective.barred_by_dispute:
        return "contact_support"
    if _owes(effective):
        return "pay_invoice"
    if effective.ends_at is not None and effective.source == Source.STRIPE:
        return "resume"
    if effective.source == Source.TRIAL:
        return "upgrade"
    if effective.source == Source.DEFAULT and not effective.is_beta:
        return "upgrade"
    return None


def _owes(effective: EffectivePlan) -> bool:
    """Where a plan went with a debt, or never began for one, none is sold until it is paid."""
    if effective.grace_ends_at is not None or effective.access != Access.FULL:
        return True
    unpaid = effective.owed_invoice or effective.unpaid_subscriptions
    return effective.source == Source.DEFAULT and bool(unpaid)
