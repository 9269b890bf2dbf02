"""Document 000: the founder's Stripe customer and subscription move to the organization they found.

Our rows move in the transaction that founds it; Stripe hears of it after the commit and until it
has answered. Meanwhile events may name the former organization: the row of the transfer says why.
"""

from typing import Any, Final

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.entitlement import store
from billing.exceptions import CustomerBusy
from billing.gateway import locks, stripe_api
from billing.gateway.stripe_api import Missing
from billing.models import BillingAccount, CustomerTransfer
from billing.signals import customer_transferred
from orgs import audit, organizations
from orgs.models import Organization, User

logger = structlog.get_logger(__name__)

# In seconds. Shorter than people wait for a form; a worker holds a customer for a few calls.
_PATIENCE = 8
# A customer that is being made just now has nothing on it that could not stay where it is.
_A_MOMENT = 2
_MOVING: Final = ("stripe_customer_id", "livemode", "currency", "test_clock_id", "synced_at")


@transaction.atomic
def to_founded(target: Organization, founder: User) -> CustomerTransfer | None:
    """None where the founder has no customer of their own. Raises CustomerBusy."""
    source = organizations.personal_of(founder)
    if source is None:
        return None
    customer_id = _customer_of(source)
    if customer_id is None and locks.wait_at_most(f"customer-of:{source.pk}", seconds=_A_MOMENT):
        customer_id = _customer_of(source)  # it was being made
    if customer_id is None:
        return None
    if not locks.wait_for_customer(customer_id, seconds=_PATIENCE):
        raise CustomerBusy(
            _("Your billing is being brought up to date right now. Try again in a moment.")
        )
    _hand_over(store.lock_account(source), store.lock_account(target))
    for rows in (
        source.subscriptions.filter(customer_id=customer_id),
        source.invoices.filter(customer_id=customer_id),
        source.payment_methods.filter(customer_id=customer_id),
        source.checkout_intents.all(),
    ):
        rows.update(organization=target)
    made: CustomerTransfer = CustomerTransfer.objects.create(
        customer_id=customer_id, source=source, target=target, founder=founder
    )
    _record(made, founder)
    for organization in (source, target):
        store.rederive(organization, cause=f"customer moved to {target.slug}")
    customer_transferred.send(CustomerTransfer, moved=made)
    return made


def tell_stripe(transfer: CustomerTransfer) -> None:
    """Name and metadata of customer and subscriptions. Safe to repeat after any failure."""
    target = transfer.target
    metadata = {"organization": str(target.pk), "slug": target.slug}
    try:
        stripe_api.update_customer(
            transfer.customer_id,
            {
                "name": target.name,
                "email": target.email,
                "preferred_locales": [target.language],
                "metadata": metadata,
            },
        )
        for subscription in target.subscriptions.live().filter(customer_id=transfer.customer_id):
            stripe_api.update_subscription(
                subscription.stripe_id,
                {"metadata": metadata},
                key=f"transfer:{transfer.pk}:{subscription.stripe_id}",
            )
    except Missing:
        logger.warning("billing.transfer_of_missing_object", transfer=transfer.pk)
    transfer.told_at = timezone.now()
    transfer.save(update_fields=["told_at"])


def _customer_of(organization: Organization) -> str | None:
    found: str | None = (
        BillingAccount.objects.filter(organization=organization, customer_deleted_at=None)
        .values_list("stripe_customer_id", flat=True)
        .first()
    )
    return found


def _hand_over(source: BillingAccount, target: BillingAccount) -> None:
    """A test clock goes along; the giver's time stays where it stood, for it never goes back."""
    values: dict[str, Any] = {name: getattr(source, name) for name in _MOVING}
    source.stripe_customer_id, source.currency, source.test_clock_id = None, "", ""
    source.synced_at = None
    source.save(update_fields=["stripe_customer_id", "currency", "test_clock_id", "synced_at"])
    for name, value in values.items():
        setattr(target, name, value)
    target.frozen_at = source.frozen_at
    target.save(update_fields=[*_MOVING, "frozen_at"])


def _record(made: CustomerTransfer, founder: User) -> None:
    for organization in (made.source, made.target):
        audit.record(
            "billing.customer_moved",
            organization=organization,
            actor=founder,
            target=made.customer_id,
            before={"organization": made.source.slug},
            after={"organization": made.target.slug},
        )
