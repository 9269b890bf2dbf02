"""The one thing a person should do next about an organization's plan."""

from billing.models import Access, EffectivePlan, Source


def of(effective: EffectivePlan) -> str | None:
    """`contact_support` (a lost dispute), `pay_invoice`, `resume`, `upgrade`, or None.

    `resume` stands before a cancellation takes effect.
    """
    if effective.reason == "dispute_lost_lock":
        return "contact_support"
    if effective.grace_ends_at is not None or effective.access != Access.FULL:
        return "pay_invoice"
    if effective.ends_at is not None and effective.source == Source.STRIPE:
        return "resume"
    if effective.source == Source.TRIAL:
        return "upgrade"
    if effective.source == Source.DEFAULT and not effective.is_beta:
        return "upgrade"
    return None
