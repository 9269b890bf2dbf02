"""Trials: a grant of ours, once per person and organization, ending by itself."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.utils import timezone

from billing.entitlement import store
from billing.exceptions import TrialRefused, UnknownPlan
from billing.messages import outbox, transitions
from billing.models import Access, BillingAccount, EffectivePlan, Grant, OutboxMessage, Source
from billing.subscription import customers, trials
from tests.billing.subscribed import on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, UserFactory, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(published):
    return OrganizationFactory.create()


@pytest.fixture
def on_clock(stripe):
    """On trial, with a customer whose clock a test can move."""
    found = OrganizationFactory.create()
    stripe.start_checkout(found)
    stripe.deliver_all(found)
    trials.start(found, owner_of(found), "pro")
    return found


def refusal_of(organization, person, plan="pro"):
    with pytest.raises(TrialRefused) as refusal:
        trials.start(organization, person, plan)
    return refusal.value.extra["reason"]


def test_a_trial_gives_the_whole_plan_for_its_days(organization):
    trials.start(organization, owner_of(organization), "pro")

    effective = store.current(organization)
    assert (effective.plan.key, effective.source) == ("pro", Source.TRIAL)
    assert effective.access == Access.FULL
    assert effective.ends_at - effective.period_start == timedelta(days=14)


def test_a_trial_that_is_older_than_the_customer_begins_by_the_customers_clock(organization):
    made = timezone.now() - timedelta(minutes=10)
    account, _ = BillingAccount.objects.get_or_create(organization=organization)
    BillingAccount.objects.update(created_at=made)

    trials.start(organization, owner_of(organization), "pro")
    customers.ensure(organization)

    account.refresh_from_db()
    assert account.frozen_at is not None
    assert Grant.objects.get().starts_at == account.frozen_at
    assert store.current(organization).source == Source.TRIAL


def test_a_trial_falls_back_to_the_default_plan_by_itself(on_clock, stripe):
    pass_days(stripe, on_clock, 14.1)

    effective = store.current(on_clock)

    assert (effective.plan.key, effective.source) == ("hobby", Source.DEFAULT)


def test_an_organization_tries_once(organization):
    trials.start(organization, owner_of(organization), "pro")
    Grant.objects.update(revoked_at=Grant.objects.get().starts_at)
    store.rederive(organization, cause="test")

    assert refusal_of(organization, UserFactory.create()) == "used_by_organization"


def test_a_person_tries_once_in_whatever_organization(organization):
    person = owner_of(organization)
    trials.start(organization, person, "pro")

    assert refusal_of(OrganizationFactory.create(owner=person), person) == "used_by_person"


def test_the_same_mailbox_with_a_plus_is_the_same_person(published):
    first, second = UserFactory.create(email="ann@x.test"), UserFactory.create(email="ann+2@x.test")
    trials.start(OrganizationFactory.create(owner=first), first, "pro")

    assert refusal_of(OrganizationFactory.create(owner=second), second) == "used_by_person"


def test_no_address_is_kept_with_the_grant(organization):
    person = owner_of(organization)

    trials.start(organization, person, "pro")

    assert person.email not in str(Grant.objects.get().terms)


def test_an_unconfirmed_address_tries_nothing(organization):
    person = owner_of(organization)
    EmailAddress.objects.filter(user=person).update(verified=False)

    assert refusal_of(organization, person) == "not_verified"


def test_who_has_paid_before_has_nothing_to_try(stripe):
    organization = on_pro(stripe)

    assert refusal_of(organization, owner_of(organization)) == "has_paid"


@pytest.mark.parametrize("plan", ["hobby", "enterprise"])
def test_a_plan_without_a_trial_says_so(organization, plan):
    assert refusal_of(organization, owner_of(organization), plan) == "no_trial"


def test_an_unknown_plan_is_unknown(organization):
    with pytest.raises(UnknownPlan):
        trials.start(organization, owner_of(organization), "gold")


def test_a_trial_is_offered_until_it_was_used(organization):
    before = trials.offered(store.current(organization))

    trials.start(organization, owner_of(organization), "pro")

    assert before == {"pro": 14}
    assert trials.offered(store.current(organization)) == {}


def test_each_reminder_leaves_once_and_in_the_organizations_language(on_clock, stripe):
    on_clock.language = "vi"
    on_clock.save()
    pass_days(stripe, on_clock, 11.5)
    transitions.remind()
    transitions.remind()
    pass_days(stripe, on_clock, 2)
    transitions.remind()

    outbox.deliver_due()

    sent = [message for message in mail.outbox if on_clock.name in message.body]
    assert OutboxMessage.objects.filter(kind="mail.trial_ending").count() == 2
    assert len(sent) == 2
    assert "GMT+00:00" in sent[0].body


def test_the_end_of_a_trial_is_told_once(on_clock, stripe):
    pass_days(stripe, on_clock, 15)

    transitions.make_due_changes_visible()
    transitions.make_due_changes_visible()

    assert OutboxMessage.objects.filter(kind="mail.downgraded").count() == 1
    assert EffectivePlan.objects.get(organization=on_clock).source == Source.DEFAULT
