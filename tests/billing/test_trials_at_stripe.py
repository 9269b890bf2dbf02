"""Trials that Stripe runs, where the catalogue asks for one; and cards, which try once each."""

import pytest
from django.core import mail
from django.test import Client

from billing import tasks
from billing.entitlement import store
from billing.exceptions import TrialRefused
from billing.gateway import stripe_api
from billing.messages import outbox, transitions
from billing.models import Access, OutboxMessage, Source, TrialMark
from billing.signals import trial_repeated
from billing.subscription import trials
from tests.billing.subscribed import pass_days
from tests.factories.orgs import OrganizationFactory, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def terms(settings, catalog_file):
    """`terms("card = true")` sells Pro with a trial of a fortnight at Stripe."""

    def sell(*lines):
        trial = "\n".join(["[plans.pro.trial]", "stripe = true", *lines])
        catalog_file.edit("[plans.pro.trial]", trial)
        settings.CATALOG = catalog_file.name

    return sell


def tries(stripe, organization, card="success"):
    stripe.pay(stripe.start_checkout(organization), card)
    stripe.deliver_all(organization)
    return organization.subscriptions.order_by("created_at").last()


def verdict(organization):
    found = store.current(organization)
    return found.plan.key, found.source, found.status


def charged(stripe):
    return sum(one["amount_captured"] for one in stripe.simulator.state("charge") if one["paid"])


def test_a_trial_with_a_card_gives_everything_reminds_twice_and_becomes_a_subscription(
    stripe, terms
):
    terms("card = true")
    organization = OrganizationFactory.create()
    tries(stripe, organization)
    trying = (*verdict(organization), store.current(organization).access, charged(stripe))

    for days in (11.5, 2):
        pass_days(stripe, organization, days)
        transitions.remind()
        transitions.remind()
    mail.outbox.clear()
    outbox.deliver_due()
    pass_days(stripe, organization, 1)

    reminders = [sent for sent in mail.outbox if "trial" in sent.subject.lower()]
    assert trying == ("pro", Source.STRIPE, "trialing", Access.FULL, 0)
    assert len(reminders) == 2
    assert all("Then your card is charged" in sent.body for sent in reminders)
    assert verdict(organization) == ("pro", Source.STRIPE, "active")
    assert charged(stripe) == 600


def test_a_card_that_fails_at_the_end_of_the_trial_starts_the_grace(stripe, terms):
    terms("card = true")
    organization = OrganizationFactory.create()
    tries(stripe, organization)
    stripe.simulator.set_card(stripe.customer_of(organization), "decline")

    pass_days(stripe, organization, 14.2)

    assert verdict(organization) == ("pro", Source.STRIPE, "past_due")
    assert store.current(organization).grace_ends_at is not None


@pytest.mark.parametrize(("policy", "status"), [("cancel", "canceled"), ("pause", "paused")])
def test_a_trial_that_ends_without_a_card_follows_the_catalogue(stripe, terms, policy, status):
    terms(f'without_card = "{policy}"')
    organization = OrganizationFactory.create()
    tries(stripe, organization)
    before = verdict(organization)

    pass_days(stripe, organization, 14.2)

    assert before == ("pro", Source.STRIPE, "trialing")
    assert organization.subscriptions.get().status == status
    assert verdict(organization)[:2] == ("hobby", Source.DEFAULT)
    assert charged(stripe) == 0
    assert OutboxMessage.objects.filter(kind="mail.downgraded").count() == 1


def test_a_paused_trial_goes_on_once_there_is_a_card(stripe, terms):
    terms('without_card = "pause"')
    organization = OrganizationFactory.create()
    tries(stripe, organization)
    pass_days(stripe, organization, 14.2)
    owner = Client()
    owner.force_login(owner_of(organization))
    url = f"/o/{organization.slug}/settings/billing/resume/"

    asked = owner.post(url, follow=True).content.decode()
    card = stripe_api.client().v1.payment_methods.attach(
        "pm_card_visa", {"customer": stripe.customer_of(organization)}
    )
    stripe_api.update_customer(
        stripe.customer_of(organization),
        {"invoice_settings": {"default_payment_method": card.id}},
    )
    stripe.deliver_all(organization)
    owner.post(url)

    assert "Add a card first" in asked
    assert "Your subscription is paused" in asked
    assert verdict(organization) == ("pro", Source.STRIPE, "active")
    assert charged(stripe) == 600


def test_whoever_has_tried_pays_at_once_the_next_time(stripe, terms):
    """The same mailbox with a plus is the same person."""
    terms("card = true")
    first = OrganizationFactory.create(owner__email="ann@x.test")
    second = OrganizationFactory.create(owner__email="ann+2@x.test")
    tries(stripe, first)

    again = tries(stripe, second)

    assert again.status == "active"
    assert charged(stripe) == 600
    assert not TrialMark.objects.filter(mark__contains="ann").exists()


def test_a_card_that_was_tried_with_ends_the_second_trial_without_a_charge(stripe, terms):
    terms("card = true", 'once_per = ["person", "organization", "card"]')
    first, second, third = OrganizationFactory.create_batch(3)
    asked = []

    def listener(sender, organization, **kwargs):
        asked.append(organization)

    trial_repeated.connect(listener)
    tries(stripe, first)

    tries(stripe, second)
    other = tries(stripe, third, "3ds")
    for organization in asked:
        tasks.end_repeated_trial.run(str(organization.pk))

    assert set(asked) == {second}
    assert second.subscriptions.get().status == "canceled"
    assert verdict(second)[:2] == ("hobby", Source.DEFAULT)
    assert (first.subscriptions.get().status, other.status) == ("trialing", "trialing")
    assert charged(stripe) == 0
    told = OutboxMessage.objects.filter(kind="mail.subscription_ended_tried_before")
    assert [message.organization for message in told] == [second]


def test_our_own_trial_knows_the_card_on_file(stripe, settings, catalog_file):
    catalog_file.edit("[plans.pro.trial]", '[plans.pro.trial]\nonce_per = ["organization", "card"]')
    settings.CATALOG = catalog_file.name
    first, second = OrganizationFactory.create_batch(2)
    for organization in (first, second):
        intent = stripe.start_checkout(organization)
        stripe.simulator.expire_checkout(intent.session_id)
        stripe_api.client().v1.payment_methods.attach(
            "pm_card_visa", {"customer": stripe.customer_of(organization)}
        )
        stripe.deliver_all(organization)
    trials.start(first, owner_of(first), "pro")

    with pytest.raises(TrialRefused) as refusal:
        trials.start(second, owner_of(second), "pro")

    assert refusal.value.extra["reason"] == "used_by_card"
    marks = TrialMark.objects.filter(kind="card").values_list("mark", flat=True)
    assert list(marks) == list(first.payment_methods.values_list("card_mark", flat=True))
