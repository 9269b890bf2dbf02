"""Credits follow what billing says of a pack: units when it is paid, fewer when money goes back."""

from datetime import timedelta
from typing import Any

from django.dispatch import receiver

from billing.models import PackPurchase
from billing.signals import credits_settled
from quotas import allowances


@receiver(credits_settled)
def on_credits_settled(sender: object, purchase: PackPurchase, **kwargs: Any) -> None:
    """Once per purchase, whoever says it and however often."""
    if purchase.state != PackPurchase.State.PAID or purchase.paid_at is None:
        return
    terms = purchase.price.terms
    days = terms.get("expires_after_days")
    reference = f"pack:{purchase.pk}"
    allowances.add_credits(
        purchase.organization,
        purchase.price.meter,
        purchase.price.units,
        reason=purchase.price.key,
        reference=reference,
        author=purchase.person,
        priority=int(terms.get("priority", 100)),
        starts_at=purchase.paid_at,
        expires_at=purchase.paid_at + timedelta(days=days) if days else None,
    )
    if purchase.amount_refunded:
        allowances.keep_credits(purchase.organization, reference, purchase.units_kept)
