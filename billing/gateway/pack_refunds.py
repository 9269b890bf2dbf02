"""What went back of packs: refunded money takes its share of the units with it, and a lost dispute
takes them all where the catalogue answers one with more than a flag."""

from collections.abc import Iterable
from typing import Any

from billing import catalog
from billing.gateway import mirror
from billing.models import BillingAccount, PackPurchase
from billing.signals import credits_settled

Json = dict[str, Any]


def copy(account: BillingAccount, charges: Iterable[Json]) -> None:
    """From the mirror's charges, by their payment. The caller holds the customer's lock."""
    bought = account.organization.pack_purchases.exclude(payment_intent_id="")
    purchases = list(bought.select_related("price", "organization"))
    if not purchases:
        return
    refunded = {data.get("payment_intent"): data.get("amount_refunded") or 0 for data in charges}
    lost = _lost(purchases)
    for purchase in purchases:
        intent = purchase.payment_intent_id
        back = refunded.get(intent, purchase.amount_refunded)
        _settle(purchase, purchase.amount_paid if intent in lost else back)


def look_at(purchase: PackPurchase) -> None:
    """A refund, or a dispute, that was heard of before its payment was."""
    account = BillingAccount.objects.filter(organization_id=purchase.organization_id).first()
    if account is not None and account.stripe_customer_id and purchase.payment_intent_id:
        copy(account, mirror.charges(account.stripe_customer_id))
        purchase.refresh_from_db(fields=["amount_refunded"])


def _lost(purchases: Iterable[PackPurchase]) -> set[str]:
    """Payments that the bank took back for good. They say so themselves: no charge changes."""
    if catalog.current().dunning.lost_dispute == "flag":
        return set()
    statuses = mirror.dispute_statuses(one.payment_intent_id for one in purchases)
    return {intent for intent, status in statuses.items() if status == "lost"}


def _settle(purchase: PackPurchase, amount: int) -> None:
    if purchase.amount_refunded == amount:
        return
    purchase.amount_refunded = amount
    purchase.save(update_fields=["amount_refunded"])
    credits_settled.send(PackPurchase, purchase=purchase)
