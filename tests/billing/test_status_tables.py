"""Every status that Stripe has, in every catalogue, as the API says it: the documents' tables."""

import pytest
from django.test import Client
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.models import BillingAccount, PlanPrice, Subscription
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of

pytestmark = pytest.mark.django_db

# Stripe's status: the plan and its access, the catalogue's word, and whether the subscription and
# the plan count as active.
TABLES = {
    "suite": {
        None: ("hobby", "full", "none", False, True),
        "incomplete": ("hobby", "full", "incomplete", False, True),
        "incomplete_expired": ("hobby", "full", "none", False, True),
        "trialing": ("pro", "full", "trialing", True, True),
        "active": ("pro", "full", "active", True, True),
        "past_due": ("pro", "full", "past_due", True, True),
        "canceled": ("hobby", "full", "none", False, True),
        "unpaid": ("pro", "read_only", "unpaid", False, False),
        "paused": ("hobby", "full", "paused", False, True),
        "new in 2027": ("hobby", "full", "new in 2027", False, True),
        "ACTIVE": ("hobby", "full", "ACTIVE", False, True),
    },
    "sessions": {
        None: ("free", "full", "none", False, True),
        "incomplete": ("free", "full", "incomplete", False, True),
        "incomplete_expired": ("free", "full", "none", False, True),
        "trialing": ("team", "full", "trialing", True, True),
        "active": ("team", "full", "active", True, True),
        "past_due": ("team", "full", "past_due", True, True),
        "canceled": ("free", "full", "none", False, True),
        "unpaid": ("free", "full", "unpaid", False, True),
        "paused": ("free", "full", "paused", False, True),
        "new in 2027": ("free", "full", "new in 2027", False, True),
    },
    "tokens": {
        None: ("free", "full", "none", False, False),
        "incomplete": ("free", "full", "incomplete", True, True),
        "incomplete_expired": ("free", "full", "none", False, False),
        "trialing": ("pro", "full", "trialing", True, True),
        "active": ("pro", "full", "active", True, True),
        "past_due": ("pro", "full", "past_due", True, True),
        "canceled": ("free", "full", "none", False, False),
        "unpaid": ("free", "full", "unpaid", False, False),
        "paused": ("free", "full", "paused", False, False),
        "new in 2027": ("free", "full", "new in 2027", False, False),
    },
    "workspaces": {
        None: ("solo", "full", "none", False, True),
        "incomplete": ("solo", "full", "incomplete", False, True),
        "incomplete_expired": ("solo", "full", "none", False, True),
        "trialing": ("teams", "full", "trialing", True, True),
        "active": ("teams", "full", "active", True, True),
        "past_due": ("teams", "restricted", "past_due", True, True),
        "canceled": ("solo", "full", "none", False, True),
        "unpaid": ("teams", "restricted", "unpaid", False, False),
        "paused": ("teams", "restricted", "paused", False, False),
        "new in 2027": ("solo", "full", "new in 2027", False, True),
    },
    "containers": {
        None: ("free", "full", "inactive", False, False),
        "incomplete": ("free", "full", "inactive", False, False),
        "incomplete_expired": ("free", "full", "inactive", False, False),
        "trialing": ("pro", "full", "trialing", True, True),
        "active": ("pro", "full", "active", True, True),
        "past_due": ("pro", "restricted", "past_due", True, True),
        "canceled": ("free", "full", "inactive", False, False),
        "unpaid": ("free", "full", "inactive", False, False),
        "paused": ("free", "full", "inactive", False, False),
        "new in 2027": ("free", "full", "new in 2027", False, False),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_each_status_gives_what_the_catalogues_document_says(settings, monkeypatch, name):
    settings.CATALOG = name
    for variable in catalog.current().beta.required_env:
        monkeypatch.setenv(variable, "set")  # connected to Stripe, so no beta
    apply(catalog.current(), None, {})
    monthly = PlanPrice.objects.on_sale().for_terms("month", "usd")
    paid = monthly.get(plan__catalog=name, plan__key=TABLES[name]["active"][0])
    PlanPrice.objects.filter(pk=paid.pk).update(stripe_price_id="price_paid")
    organization = OrganizationFactory.create()
    BillingAccount.objects.filter(organization=organization).update(stripe_customer_id="cus_1")
    owner = Client(headers={"authorization": f"Bearer {api_token_for(owner_of(organization))}"})
    found = {}
    for status in TABLES[name]:
        Subscription.objects.all().delete()
        if status is not None:
            subscribe(organization, status)
        store.rederive(organization, cause="test")
        told = owner.get(f"/api/v1/billing/status?organization={organization.slug}").json()
        words = ("tier", "access", "status", "subscription_active", "plan_active")
        found[status] = tuple(told[word] for word in words)

    assert found == TABLES[name]


def subscribe(organization, status):
    Subscription.objects.create(
        organization=organization,
        stripe_id="sub_1",
        customer_id="cus_1",
        status=status,
        livemode=False,
        currency="usd",
        interval="month",
        price_id="price_paid",
        created_at=timezone.now(),
    )
