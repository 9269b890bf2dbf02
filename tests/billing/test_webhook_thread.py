"""The thinnest thread: pay at Stripe, a signed webhook arrives, the plan is on."""

import pytest

from billing.entitlement import store
from billing.models import InboxEvent, Source
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db


def test_an_organization_starts_on_the_default_plan(published):
    organization = OrganizationFactory.create()

    effective = store.current(organization)

    assert (effective.plan.key, effective.source) == ("hobby", Source.DEFAULT)


def test_a_paid_checkout_puts_the_plan_on_when_its_webhooks_arrive(stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization, seats=3)

    stripe.deliver_all(organization)

    effective = store.current(organization)
    assert (effective.plan.key, effective.source, effective.seats) == ("pro", Source.STRIPE, 3)
    assert not InboxEvent.objects.waiting().exists()
    assert not InboxEvent.objects.dead().exists()
