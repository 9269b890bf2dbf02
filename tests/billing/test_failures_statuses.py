"""Stripe's eight statuses, through real rows: what each of them gives (B8)."""

import pytest
from django.utils import timezone

from billing.entitlement import store
from billing.models import BillingAccount, PlanPrice, Subscription
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db

GIVES = {
    "incomplete": ("hobby", "default", "full"),
    "incomplete_expired": ("hobby", "default", "full"),
    "trialing": ("pro", "stripe", "full"),
    "active": ("pro", "stripe", "full"),
    "past_due": ("pro", "stripe", "full"),
    "canceled": ("hobby", "default", "full"),
    "unpaid": ("pro", "stripe", "read_only"),
    "paused": ("hobby", "default", "full"),
}


@pytest.mark.parametrize("status", GIVES)
def test_each_status_gives_what_the_table_says(stripe, status):
    """B8: `incomplete` and `incomplete_expired` never entitle."""
    organization = OrganizationFactory.create()
    _subscription(organization, status)

    effective = store.rederive(organization, cause="test")

    assert (effective.plan.key, effective.source, effective.access) == GIVES[status]


@pytest.mark.parametrize("status", ["an_invention_of_2027", "", "ACTIVE"])
def test_a_status_that_nobody_knows_gives_nothing(stripe, status):
    organization = OrganizationFactory.create()
    _subscription(organization, status)

    effective = store.rederive(organization, cause="test")

    assert effective.plan.key == "hobby"


def _subscription(organization, status):
    account = BillingAccount.objects.get(organization=organization)
    account.stripe_customer_id = f"cus_{organization.slug}"
    account.save()
    price = PlanPrice.objects.on_sale().for_terms("month", "usd").get(plan__key="pro")
    return Subscription.objects.create(
        organization=organization,
        stripe_id=f"sub_{organization.slug}",
        customer_id=account.stripe_customer_id,
        status=status,
        livemode=False,
        currency="usd",
        interval="month",
        price_id=price.stripe_price_id or "",
        created_at=timezone.now(),
    )
