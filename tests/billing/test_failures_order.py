"""Events in any order, late, lost or after the end: one history has one end (A3, A6, A23, A24)."""

import itertools
import random

import pytest
from django.db import transaction

from billing.entitlement import store
from billing.gateway import own_rows, reconcile, stripe_api
from billing.models import BillingAccount, InboxEvent, OutboxMessage, Source
from tests.billing.outcomes import outcome
from tests.billing.stripe_events import drain_all, post
from tests.billing.subscribed import default_on_renewal, on_pro
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db

CHECKOUT = (
    "payment_method.attached",
    "customer.updated",
    "checkout.session.completed",
    "customer.subscription.created",
    "invoice.finalized",
    "invoice.paid",
)


def _one_of_each(stripe, organization, kinds):
    events = stripe.history_of(organization)
    return [next(event for event in events if event["type"] == kind) for kind in kinds]


def _ends(stripe, organization, orders):
    """Where each order ends, every event drained before the next arrives; all are undone."""
    for order in orders:
        with transaction.atomic():
            for event in order:
                stripe.deliver([event])
            yield outcome(organization)
            transaction.set_rollback(True)


def test_every_order_of_the_four_deciding_events_ends_in_one_state(stripe):
    """A3, with each event applied before the next one arrives."""
    organization = OrganizationFactory.create()
    stripe.buy(organization, seats=3)
    deciding = ("payment_method.attached", "checkout.session.completed",
                "customer.subscription.created", "invoice.paid")  # fmt: skip
    events = _one_of_each(stripe, organization, deciding)

    ends = list(_ends(stripe, organization, itertools.permutations(events)))

    assert len(ends) == 24
    assert ends[0]["plan"] == "pro"
    assert all(end == ends[0] for end in ends)


@pytest.mark.verify
def test_every_order_of_a_checkouts_six_events_ends_in_one_state(stripe):
    """A3, all 720 of them."""
    organization = OrganizationFactory.create()
    stripe.buy(organization, seats=3)
    events = _one_of_each(stripe, organization, CHECKOUT)

    ends = list(_ends(stripe, organization, itertools.permutations(events)))

    assert len(ends) == 720
    assert ends[0]["plan"] == "pro"
    assert all(end == ends[0] for end in ends)


def test_an_ended_subscription_is_not_revived_by_what_was_said_before(stripe):
    """A24: `deleted` may arrive before `created` and `updated`."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    subscription = stripe.simulator.state("subscription")[0]["id"]
    stripe_api.cancel_subscription(subscription, key="test")
    told = ("customer.subscription.deleted", "customer.subscription.created", "invoice.paid")
    events = _one_of_each(stripe, organization, told)

    ends = list(_ends(stripe, organization, itertools.permutations(events)))

    assert {(end["plan"], end["source"]) for end in ends} == {("hobby", Source.DEFAULT)}
    assert all(end == ends[0] for end in ends)
    assert ends[0]["subscriptions"][0]["status"] == "canceled"


def test_created_is_never_used_for_order(stripe):
    """A3: the newest claims to be the oldest."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    subscription = organization.subscriptions.get().stripe_id
    stripe_api.cancel_subscription(subscription, key="test")

    (ended,) = stripe.simulator.events("customer.subscription.deleted")
    stripe.deliver([ended | {"created": 1_000_000_000}])

    assert store.current(organization).plan.key == "hobby"


def test_an_ended_subscription_leaves_no_invoice_that_stripe_would_try_again(stripe):
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    tried_again = organization.invoices.get(status="open").next_payment_attempt
    subscription = organization.subscriptions.get().stripe_id

    stripe_api.cancel_subscription(subscription, key="end")
    stripe.deliver(stripe.simulator.events("customer.subscription.deleted"))

    assert tried_again is not None
    assert organization.invoices.get(status="open").next_payment_attempt is None


@pytest.mark.parametrize("seed", range(4))
def test_lost_webhooks_are_made_up_for_by_the_hourly_reconcile(stripe, seed):
    """A6: any subset may be lost for ever; Stripe lists what was never acknowledged."""
    stripe.simulator.set_webhook("http://127.0.0.1:9/webhooks/stripe", "whsec_nobody_listens")
    stripe.simulator.set_delivery("drop")
    organization, in_order = OrganizationFactory.create_batch(2)
    for bought in (organization, in_order):
        stripe.buy(bought, seats=2)
    stripe.deliver_all(in_order)
    events = stripe.history_of(organization)
    chance = random.Random(seed)  # noqa: S311 (a repeatable loss is wanted)
    stripe.deliver(event for event in events if chance.random() < seed * 0.25)

    reconcile.run()
    drain_all()

    assert _comparable(organization) == _comparable(in_order)


def _comparable(organization):
    found = outcome(organization)
    mails = OutboxMessage.objects.filter(organization=organization)
    return {
        "plan": found["plan"],
        "source": found["source"],
        "seats": found["seats"],
        "subscriptions": [row["status"] for row in found["subscriptions"]],
        "invoices": [(row["status"], row["total"]) for row in found["invoices"]],
        "methods": [(row["brand"], row["is_default"]) for row in found["payment_methods"]],
        "intents": [state for _, state in found["intents"]],
        "mails": sorted(mails.values_list("kind", flat=True)),
    }


def test_what_a_disabled_endpoint_never_heard_is_found_by_the_sweep_of_live_customers(stripe):
    """A6: with no endpoint at all Stripe lists nothing as undelivered."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    stripe_api.cancel_subscription(organization.subscriptions.get().stripe_id, key="test")

    reconcile.run()

    assert store.current(organization).plan.key == "hobby"


def test_a_subscription_that_stripe_no_longer_knows_has_ended(stripe):
    """A23: fetching it answers 404 `resource_missing`."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    subscription = organization.subscriptions.get()
    gone = _copied_as(organization, subscription, "sub_gone_at_stripe")

    body = stripe.simulator.emit(
        "customer.subscription.updated",
        {"id": gone, "object": "subscription", "customer": subscription.customer_id},
    )
    stripe.deliver([body])

    assert organization.subscriptions.get(stripe_id=gone).status == "canceled"
    assert store.current(organization).subscription_id == subscription.stripe_id
    assert not InboxEvent.objects.waiting().exists()


def _copied_as(organization, subscription, stripe_id):
    """An older subscription that we hold for active, although Stripe has no such thing."""
    row = organization.subscriptions.get(pk=subscription.pk)
    row.pk, row.stripe_id = None, stripe_id
    row.created_at = row.created_at.replace(year=2020)
    row.save(force_insert=True)
    store.rederive(organization, cause="test")
    assert store.current(organization).subscription_id == stripe_id
    return stripe_id


def test_a_customer_deleted_at_stripe_leaves_a_tombstone(stripe):
    """A23: nothing that arrives later re-entitles it."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    history = stripe.history_of(organization)
    _delete_customer(stripe, organization)

    (deleted,) = stripe.simulator.events("customer.deleted")
    stripe.deliver([deleted])
    stripe.deliver(event | {"id": f"{event['id']}_again"} for event in history)

    assert store.current(organization).plan.key == "hobby"
    assert not organization.subscriptions.live().exists()
    assert not organization.payment_methods.exists()
    assert not InboxEvent.objects.waiting().exists()


def test_a_customer_deleted_at_stripe_is_noticed_without_its_webhook(stripe):
    """A23 and A6."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    _delete_customer(stripe, organization)

    reconcile.run()

    assert store.current(organization).plan.key == "hobby"


def test_a_tombstone_set_in_error_is_lifted_when_stripe_still_has_the_customer(stripe):
    """A23: an hour with the key of another Stripe account must not end every subscription."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    account = BillingAccount.objects.get(organization=organization)
    own_rows.tombstone(account)
    assert store.rederive(organization, cause="test").plan.key == "hobby"

    reconcile.run()

    assert store.current(organization).plan.key == "pro"


def _delete_customer(stripe, organization):
    stripe_api.client().v1.customers.delete(stripe.customer_of(organization))


def test_events_for_a_customer_that_is_nobodys_are_set_aside_in_the_end(stripe):
    """A21: a customer of another product on the same Stripe account."""
    subject = {"id": "sub_x", "object": "subscription", "customer": "cus_of_another_product"}
    event = stripe.simulator.emit("customer.subscription.created", subject)
    assert post(stripe.client, event).status_code == 200

    for _attempt in range(5):
        InboxEvent.objects.update(next_attempt_at="2020-01-01T00:00Z")
        drain_all()

    row = InboxEvent.objects.get()
    assert (row.state, row.note) == ("ignored", "no organization has this customer")
