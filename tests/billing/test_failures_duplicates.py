"""One change, told more than once: it has one effect, and people hear of it once (A1, A2, A5)."""

import json
import secrets

import pytest
from django.core import mail
from django.test import Client

from billing.gateway import stripe_api
from billing.gateway.webhooks import processing
from billing.messages import outbox
from billing.models import InboxEvent, OutboxMessage
from tests.billing.outcomes import outcome
from tests.billing.racing import at_once
from tests.billing.stripe_events import drain_all, post, signature
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db


def _mails_about(organization):
    """All but the welcome, which belongs to the plan and not to an event."""
    mails = OutboxMessage.objects.filter(organization=organization, kind__startswith="mail.")
    return mails.exclude(kind="mail.welcome")


@pytest.mark.django_db(transaction=True)
def test_one_event_posted_by_sixteen_senders_at_once_has_one_effect(stripe, redis_server):
    """A1."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    customer_id = stripe.customer_of(organization)
    event = stripe.simulator.events("invoice.paid")[0]
    body = json.dumps(event).encode()
    header = signature(body)

    answers = at_once(16, lambda _: post(Client(), body, **{"stripe-signature": header}))
    at_once(4, lambda _: processing.drain(customer_id))
    drain_all()
    at_once(4, lambda _: outbox.deliver_due())

    assert {answer.status_code for answer in answers} == {200}
    assert InboxEvent.objects.filter(event_id=event["id"]).count() == 1
    assert organization.invoices.count() == 1
    assert _mails_about(organization).count() == 1
    assert len(mail.outbox) == OutboxMessage.objects.filter(kind__startswith="mail.").count()


def test_two_events_for_one_change_have_one_effect(stripe):
    """A2: Stripe may make two event objects, with different ids, for one change."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    events = stripe.history_of(organization)
    stripe.deliver(events)
    before, mails = outcome(organization), list(_mails_about(organization).values_list("once_per"))
    sequence = organization.effective_plan.sequence

    clones = [event | {"id": f"evt_{secrets.token_hex(12)}"} for event in events for _ in range(2)]
    stripe.deliver(clones)

    assert outcome(organization) == before
    assert list(_mails_about(organization).values_list("once_per")) == mails
    organization.effective_plan.refresh_from_db()
    assert organization.effective_plan.sequence == sequence


def test_an_event_that_is_three_days_late_still_counts(stripe):
    """A5: Stripe signs each attempt anew, so only the event itself is old."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)

    stripe.deliver(
        event | {"created": event["created"] - 3 * 86_400}
        for event in stripe.history_of(organization)
    )

    assert outcome(organization)["plan"] == "pro"


def test_an_event_that_dj_stripe_remembers_is_applied_all_the_same(stripe):
    """A1: its own memory is longer than our inbox's, and it skips what it remembers."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    subscription = organization.subscriptions.get()
    (created,) = stripe.simulator.events("customer.subscription.created")
    InboxEvent.objects.all().delete()
    stripe_api.cancel_subscription(subscription.stripe_id, key="test")

    stripe.deliver([created])

    subscription.refresh_from_db()
    assert subscription.status == "canceled"
    assert outcome(organization)["plan"] == "hobby"


def test_an_event_told_again_after_the_inbox_was_emptied_ends_nothing(stripe):
    """A1 and A23: what dj-stripe skips has not gone at Stripe."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    InboxEvent.objects.all().delete()

    stripe.deliver_all(organization)

    assert outcome(organization)["plan"] == "pro"
