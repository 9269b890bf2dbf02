"""Name, billing address and language at Stripe follow ours, once for every change made here.

Stripe's portal may change them too; what somebody wrote there stands until they change it here.
"""

from typing import Any

import structlog
from django.db.models import QuerySet
from django.utils import timezone

from billing.gateway import stripe_api
from billing.gateway.stripe_api import Missing
from billing.models import BillingAccount
from orgs import organizations
from orgs.models import Organization, User
from orgs.organizations import Description

logger = structlog.get_logger(__name__)


def change_email(organization: Organization, person: User, email: str) -> Organization:
    """Where invoices and billing mail go from now on; empty means to the owner. Audited."""
    description = Description(
        name=organization.name,
        language=organization.language,
        time_zone=organization.time_zone,
        billing_email=email,
    )
    return organizations.describe(organization, description, actor=person)


def of(organization: Organization) -> dict[str, Any]:
    """Stripe's parameters for what we know of the payer."""
    return {
        "name": organization.name,
        "email": organization.email,
        "preferred_locales": [organization.language],
    }


def note_change(organization: Organization) -> bool:
    """In the transaction of the change, so that a lost task loses nothing."""
    accounts = BillingAccount.objects.filter(organization=organization)
    known = accounts.exclude(stripe_customer_id=None)
    return bool(known.update(details_changed_at=timezone.now()))


def tell(organization: Organization) -> bool:
    """False when Stripe knows already. A change made meanwhile stays to be told."""
    account = BillingAccount.objects.filter(organization=organization).first()
    if account is None or account.details_changed_at is None or not stripe_api.is_configured():
        return False
    try:
        if account.stripe_customer_id and account.customer_deleted_at is None:
            stripe_api.update_customer(account.stripe_customer_id, of(organization))
    except Missing:
        logger.info("stripe.customer_gone", customer=account.stripe_customer_id)
    told = BillingAccount.objects.filter(
        pk=account.pk, details_changed_at=account.details_changed_at
    )
    return bool(told.update(details_changed_at=None))


def untold() -> QuerySet[Organization]:
    """Whose change never reached Stripe, because a task was lost."""
    waiting = BillingAccount.objects.exclude(details_changed_at=None).values("organization_id")
    return Organization.objects.open().filter(pk__in=waiting).order_by("pk")
