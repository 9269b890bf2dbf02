"""What a mail about a lost plan or a lock is keyed by, whatever we heard of first."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from billing.gateway import stripe_api
from billing.messages import causes, outbox
from billing.models import Grant, OutboxMessage, Source, Subscription
from tests.billing.subscribed import DAY, on_pro
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def two_unpaid(stripe):
    """Two subscriptions, both unpaid for longer than grace; of it we have heard nothing yet."""
    organization = on_pro(stripe, seats=3)
    customer = stripe.customer_of(organization)
    (bought,) = stripe.simulator.state("subscription")
    items = stripe_api.client().v1.subscription_items.list({"subscription": bought["id"]}).data
    stripe_api.client().v1.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": items[0].price.id, "quantity": 3}],
            "default_payment_method": bought["default_payment_method"],
        }
    )
    stripe.simulator.set_card(customer, "decline")
    stripe.simulator.advance(customer=customer, by_seconds=36 * DAY)
    return organization


def unpaid(stripe):
    """Ids of the open invoices, the older first."""
    owed = [one for one in stripe.simulator.state("invoice") if one["status"] == "open"]
    return [one["id"] for one in sorted(owed, key=lambda one: (one["created"], one["id"]))]


def test_of_two_unpaid_invoices_the_mail_names_the_older_though_we_heard_of_the_younger_alone(
    stripe, two_unpaid
):
    older, younger = unpaid(stripe)
    told = [
        event
        for event in stripe.simulator.events("invoice.payment_failed")
        if event["data"]["object"]["id"] == younger
    ]
    stripe.deliver(told[-1:])
    asked = set(OutboxMessage.objects.values_list("once_per", flat=True))
    mail.outbox.clear()
    sent = OutboxMessage.objects.filter(kind="mail.locked", state=OutboxMessage.State.SENT)
    deadline = time.monotonic() + 20
    while not sent.exists() and time.monotonic() < deadline:
        outbox.deliver_due()

    assert f"mail.locked:{younger}" in asked
    assert [one.once_per for one in sent] == [f"mail.locked:{older}"]
    assert sum("read-only" in letter.subject for letter in mail.outbox) == 1


def test_who_has_paid_hears_of_no_lock_though_the_word_of_the_payment_was_lost(stripe, two_unpaid):
    stripe.deliver(stripe.simulator.events("invoice.payment_failed")[-1:])
    stripe.simulator.set_card(stripe.customer_of(two_unpaid), None)
    for invoice in unpaid(stripe):
        stripe_api.client().v1.invoices.pay(invoice)

    outbox.deliver_due()

    (message,) = OutboxMessage.objects.filter(kind="mail.locked")
    assert message.state == OutboxMessage.State.DROPPED


def test_while_stripe_is_away_a_mail_waits_and_then_leaves_by_what_we_know(stripe, two_unpaid):
    stripe.deliver(stripe.simulator.events("invoice.payment_failed"))
    stripe.simulator.fault("GET /v1/*", "http_500", 10**4)
    states = []
    for _attempt in range(4):
        OutboxMessage.objects.update(next_attempt_at=START)
        outbox.deliver_due()
        states.append(OutboxMessage.objects.get(kind="mail.locked").state)

    assert states == ["waiting", "waiting", "waiting", "sent"]


def subscribed(organization, name, start, end=None, status="active"):
    Subscription.objects.create(
        organization=organization,
        stripe_id=name,
        customer_id="cus_1",
        status=status if end is None else "canceled",
        livemode=False,
        currency="usd",
        created_at=START + timedelta(days=start),
        ended_at=None if end is None else START + timedelta(days=end),
    )


@pytest.mark.parametrize(
    ("spans", "cause"),
    [
        ([("a", 0, 30), ("b", 20, 60)], "a"),
        ([("b", 20, 60), ("a", 0, 60)], "a"),
        ([("a", 0, 30), ("b", 30, 60)], "b"),
        ([("a", 0, 30), ("b", 20, None), ("c", 90, 95)], "a"),
        ([("a", 0, 10), ("b", 50, 60), ("c", 55, 90)], "b"),
    ],
)
def test_one_unbroken_time_with_a_plan_is_named_by_what_began_it(spans, cause):
    organization = OrganizationFactory.create()
    for name, start, end in spans:
        subscribed(organization, name, start, end)
    subscribed(organization, "never", 200, status="incomplete")

    assert causes.of_the_loss(organization) == f"{cause}:ended"


def test_a_trial_that_led_into_a_subscription_is_one_time_with_it():
    organization = OrganizationFactory.create()
    trial = Grant.objects.create(
        organization=organization,
        source=Source.TRIAL,
        plan_key="pro",
        starts_at=START,
        ends_at=START + timedelta(days=14),
    )
    subscribed(organization, "bought", 10, 40)

    assert causes.of_the_loss(organization) == f"trial:{trial.pk}:ended"
