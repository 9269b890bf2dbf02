"""What was refunded of packs: the money that went back takes its share of the units with it."""

from collections.abc import Iterable
from typing import Any

from billing.gateway import mirror
from billing.models import BillingAccount, PackPurchase
from billing.signals import credits_settled

Json = dict[str, Any]


def copy(account: BillingAccount, charges: Iterable[Json]) -> None:
    """From the mirror's charges, by their payment. The caller holds the customer's lock."""
    refunded = {
        data["payment_intent"]: data.get("amount_refunded") or 0
        for data in charges
        if data.get("payment_intent")
    }
    paid = account.organization.pack_purchases.filter(payment_intent_id__in=refunded)
    for purchase in paid.select_related("price", "organization"):
        _settle(purchase, refunded[purchase.payment_intent_id])


def look_at(purchase: PackPurchase) -> None:
    """A refund that was heard of before its payment was."""
    account = BillingAccount.objects.filter(organization_id=purchase.organization_id).first()
    if account is None or not account.stripe_customer_id or not purchase.payment_intent_id:
        return
    for data in mirror.charges(account.stripe_customer_id):
        if data.get("payment_intent") == purchase.payment_intent_id:
            _settle(purchase, data.get("amount_refunded") or 0)


def _settle(purchase: PackPurchase, amount: int) -> None:
    if purchase.amount_refunded == amount:
        return
    purchase.amount_refunded = amount
    purchase.save(update_fields=["amount_refunded"])
    credits_settled.send(PackPurchase, purchase=purchase)
