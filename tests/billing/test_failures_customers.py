"""One organization, one customer at Stripe, whatever breaks on the way (B16-B18)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.entitlement import store
from billing.exceptions import StripeUnavailable
from billing.gateway import stripe_api
from billing.models import BillingAccount
from billing.subscription import customers
from tests.billing.racing import at_once
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db

CUSTOMERS = "POST /v1/customers"
DAY_AND_A_BIT = 25 * 3600


@pytest.fixture(params=[True, False], ids=["on test clocks", "without clocks"])
def clocks(request, settings):
    settings.STRIPE_TEST_CLOCKS = request.param


def _customers(stripe):
    return stripe.simulator.state("customer")


@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_make_one_customer(stripe):
    """B18."""
    organization = OrganizationFactory.create()

    accounts = at_once(16, lambda _: customers.ensure(organization))

    (customer,) = _customers(stripe)
    assert {account.stripe_customer_id for account in accounts} == {customer["id"]}
    assert len(stripe.simulator.state("test_helpers.test_clock")) == 1


def test_a_clock_begins_inside_the_first_usage_month(stripe):
    """Stripe's clocks know whole seconds: rounded down, time began before the organization."""
    organization = OrganizationFactory.create()

    customers.ensure(organization)

    (clock,) = stripe.simulator.state("test_helpers.test_clock")
    assert clock["frozen_time"] > organization.created_at.timestamp()


def test_a_lost_answer_is_found_again_by_the_retry(stripe, clocks):
    """B17: never a second customer."""
    organization = OrganizationFactory.create()
    _lose_the_answer(stripe, organization)

    account = customers.ensure(organization)

    (customer,) = _customers(stripe)
    assert account.stripe_customer_id == customer["id"]


def test_a_lost_answer_is_found_again_after_stripe_forgot_the_key(stripe, clocks):
    """B16: after 24 hours the same key would make a second customer, so we look first."""
    organization = OrganizationFactory.create()
    OrganizationFactory.create_batch(2)
    _lose_the_answer(stripe, organization)
    stripe.simulator.advance(by_seconds=DAY_AND_A_BIT)
    yesterday = timezone.now() - timedelta(seconds=DAY_AND_A_BIT)
    BillingAccount.objects.filter(organization=organization).update(created_at=yesterday)

    account = customers.ensure(organization)

    (customer,) = _customers(stripe)
    assert account.stripe_customer_id == customer["id"]


def test_a_lost_answer_is_found_again_after_the_organization_changed_its_name(stripe, clocks):
    """B16: the same key with other parameters is refused, and that tells us to look."""
    organization = OrganizationFactory.create()
    _lose_the_answer(stripe, organization)
    organization.name, organization.slug = "Renamed", "renamed"
    organization.save()

    account = customers.ensure(organization)

    (customer,) = _customers(stripe)
    assert account.stripe_customer_id == customer["id"]


def _lose_the_answer(stripe, organization):
    """Stripe makes the customer, but neither the first answer nor that of the retry arrives."""
    stripe.simulator.fault(CUSTOMERS, "timeout_after_processing", times=2)
    with pytest.raises(StripeUnavailable):
        customers.ensure(organization)
    assert BillingAccount.objects.get(organization=organization).stripe_customer_id is None
    assert len(_customers(stripe)) == 1


def test_who_buys_again_after_the_customer_was_deleted_gets_a_new_one(stripe, clocks):
    """A23: the tombstone ends what was, not the organization."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    former = stripe.customer_of(organization)
    stripe_api.client().v1.customers.delete(former)
    stripe.deliver(stripe.simulator.events("customer.deleted"))
    assert store.current(organization).plan.key == "hobby"

    stripe.buy(organization)
    stripe.deliver_all(organization)

    assert stripe.customer_of(organization) != former
    assert store.current(organization).plan.key == "pro"
    assert organization.subscriptions.standing().count() == 1
