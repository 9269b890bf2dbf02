"""Two workers, one customer: the lock is taken before the fetch, and that is what saves it (A4)."""

import threading

import pytest
from djstripe import models as mirrored

from billing.entitlement import store
from billing.gateway import locks, stripe_api
from billing.gateway.webhooks import processing
from billing.models import InboxEvent
from billing.subscription import checkout
from tests.billing.racing import at_once
from tests.billing.stripe_events import drain_all, post
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 10


@pytest.fixture
def held_fetch(monkeypatch):
    """The first worker to fetch a subscription stops there, with the old version in its hands."""
    fetched, go_on = threading.Event(), threading.Event()
    retrieve = mirrored.Subscription.api_retrieve

    def held(self, *args, **kwargs):
        found = retrieve(self, *args, **kwargs)
        if not fetched.is_set():
            fetched.set()
            assert go_on.wait(PATIENCE)
        return found

    def arm():
        monkeypatch.setattr(mirrored.Subscription, "api_retrieve", held)
        return fetched, go_on

    return arm


def _subscribed(stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    return organization, organization.subscriptions.get()


def _race(stripe, held_fetch, subscription):
    """A fetches the active subscription and is held; it is cancelled; B drains; A goes on."""
    fetched, go_on = held_fetch()
    drained = {}

    def first(_=None):
        drained["a"] = processing.drain(subscription.customer_id)

    def second():
        assert fetched.wait(PATIENCE)
        stripe_api.cancel_subscription(subscription.stripe_id, key="race")
        _tell(stripe, subscription)
        drained["b"] = processing.drain(subscription.customer_id)
        go_on.set()

    _tell(stripe, subscription)
    at_once(2, lambda number: first() if number == 0 else second())
    return drained


def _tell(stripe, subscription):
    """Its own kind of event twice, so that no unique index makes the workers wait."""
    told = stripe.simulator.emit("customer.subscription.updated", subscription.stripe_id)
    assert post(stripe.client, told).status_code == 200


def test_a_late_worker_cannot_write_what_it_fetched_before_another_one(stripe, held_fetch):
    """A4: the second worker finds the customer busy, and comes back."""
    organization, subscription = _subscribed(stripe)

    drained = _race(stripe, held_fetch, subscription)
    drain_all()

    assert drained["b"].busy
    subscription.refresh_from_db()
    assert subscription.status == "canceled"
    assert store.current(organization).plan.key == "hobby"


def test_without_the_lock_the_late_worker_does_write_it(stripe, held_fetch, monkeypatch):
    """A4: shows that the test above can fail; should this one fail, dj-stripe has changed."""
    monkeypatch.setattr(locks, "try_customer", lambda customer_id: True)
    organization, subscription = _subscribed(stripe)

    drained = _race(stripe, held_fetch, subscription)
    drain_all()

    assert not drained["b"].busy
    subscription.refresh_from_db()
    assert subscription.status == "active"
    assert store.current(organization).plan.key == "pro"


def test_the_webhook_and_the_return_page_at_once_fulfil_once(stripe):
    """B5: both start together; whoever finds the customer busy leaves it to the other."""
    organization = OrganizationFactory.create()
    intent = stripe.buy(organization)
    customer_id = stripe.customer_of(organization)
    for event in stripe.history_of(organization):
        assert post(stripe.client, event).status_code == 200

    def settle_or_drain(number):
        if number % 2:
            return processing.drain(customer_id)
        return checkout.settle(organization, intent.session_id)

    found = at_once(6, settle_or_drain)
    drain_all()

    assert {settled.state for settled in found[::2]} <= {"active", "pending"}
    settled = checkout.settle(organization, intent.session_id)
    assert settled is not None
    assert settled.state == "active"
    assert organization.subscriptions.count() == 1
    assert not InboxEvent.objects.waiting().exists()
    on_pro = organization.plan_changes.filter(plan__key="pro").values_list("subscription_id")
    assert on_pro.distinct().count() == 1


def test_eight_workers_on_one_customer_take_turns(stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    customer_id = stripe.customer_of(organization)
    for event in stripe.history_of(organization):
        assert post(stripe.client, event).status_code == 200

    drained = at_once(8, lambda _: processing.drain(customer_id))
    drain_all()

    assert any(one.busy for one in drained)
    assert store.current(organization).plan.key == "pro"
    assert not InboxEvent.objects.waiting().exists()
