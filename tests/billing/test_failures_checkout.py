"""Checkout under impatient people, two tabs and a failing Stripe (B1-B7, B9-B17)."""

import json
import threading
from datetime import timedelta

import pytest
from celery import current_app
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import catalog
from billing.entitlement import store
from billing.exceptions import (
    AlreadySubscribed,
    CurrencyFixed,
    PaymentRequired,
    StripeUnavailable,
)
from billing.gateway import locks, stripe_api
from billing.models import BillingAccount, CheckoutIntent, InboxEvent, OutboxMessage, Source
from billing.subscription import checkout
from billing.subscription.checkout import Order
from orgs import members, organizations
from orgs.models import Role
from tests.billing.racing import at_once
from tests.factories.orgs import OrganizationFactory, api_token_for, member_of, owner_of
from tests.stripe_simulator.client import Refused

pytestmark = pytest.mark.django_db

CHECKOUT = "/api/v1/billing/checkout"
SESSIONS = "POST /v1/checkout/sessions"


@pytest.fixture
def worker():
    """Tasks run in this process, right after the commit that asked for them."""
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def _ask(token, **body):
    return Client().post(
        CHECKOUT,
        data=json.dumps(body),
        content_type="application/json",
        headers={"authorization": f"Bearer {token}"},
    )


def _token(organization):
    return api_token_for(owner_of(organization))


def _open_sessions(stripe):
    return [one for one in stripe.simulator.state("checkout.session") if one["status"] == "open"]


def _settled(intent):
    settled = checkout.settle(intent.organization, intent.session_id)
    assert settled is not None
    return settled


def _plan(organization):
    return store.current(organization).plan.key


# --- Resubmitting, two tabs, paying twice ------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_sixteen_clicks_at_once_open_one_session(stripe):
    """B1, and B18 on the way: none of them had a customer before."""
    token = _token(OrganizationFactory.create())
    stripe.simulator.clear_requests()

    answers = at_once(16, lambda _: _ask(token, tier="pro", seats=2))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["checkout_url"] for answer in answers}) == 1
    assert stripe.simulator.requests()[SESSIONS] == 1
    assert len(stripe.simulator.state("checkout.session")) == 1
    assert stripe.simulator.requests()["POST /v1/customers"] == 1


def test_another_wish_in_a_second_tab_ends_the_first_session(stripe):
    """B2."""
    organization = OrganizationFactory.create()
    monthly = stripe.start_checkout(organization, interval="month")

    yearly = stripe.start_checkout(organization, interval="year")

    assert [one["id"] for one in _open_sessions(stripe)] == [yearly.session_id]
    with pytest.raises(Refused):
        stripe.pay(monthly)


@pytest.mark.django_db(transaction=True)
def test_two_tabs_with_two_wishes_at_once_leave_one_open_session(stripe):
    """B2: each tab clicks several times."""
    token = _token(OrganizationFactory.create())

    answers = at_once(12, lambda n: _ask(token, tier="pro", interval=["month", "year"][n % 2]))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len(_open_sessions(stripe)) == 1
    assert CheckoutIntent.objects.open().count() == 1


def test_a_second_wish_after_the_first_was_paid_is_refused(stripe):
    """B2: Stripe cannot expire a session that was paid, and no webhook has told us yet."""
    organization = OrganizationFactory.create()
    stripe.buy(organization, interval="month")

    with pytest.raises(AlreadySubscribed):
        stripe.start_checkout(organization, interval="year")

    assert _open_sessions(stripe) == []
    assert _plan(organization) == "pro"


@pytest.mark.django_db(transaction=True)
def test_a_paid_first_wish_is_honoured_even_while_another_worker_has_the_customer(stripe):
    """B2: then our rows do not show the subscription yet, but Stripe's session does."""
    organization = OrganizationFactory.create()
    stripe.buy(organization, interval="month")
    customer_id = stripe.customer_of(organization)

    def second_tab_or_worker(number):
        with transaction.atomic():
            if number == 0:
                assert locks.try_customer(customer_id)
                held.set()
                return tried.wait(10)
        assert held.wait(10)
        try:
            return stripe.start_checkout(organization, interval="year")
        except AlreadySubscribed as refusal:
            return refusal
        finally:
            tried.set()

    held, tried = threading.Event(), threading.Event()
    _, answer = at_once(2, second_tab_or_worker)

    assert isinstance(answer, AlreadySubscribed)
    assert _open_sessions(stripe) == []


def _pay_twice(stripe, organization):
    """Stripe fails to expire the first session, and both are paid."""
    first = stripe.start_checkout(organization, interval="month")
    stripe.simulator.fault("POST /v1/checkout/sessions/*/expire", "http_500", times=2)
    second = stripe.start_checkout(organization, interval="year")
    stripe.pay(first)
    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=60)
    stripe.pay(second)


@pytest.mark.django_db(transaction=True)
def test_who_paid_twice_keeps_one_subscription_and_is_told_once(stripe, worker):
    """B3: the later one ends (its refund is a task of its own)."""
    organization = OrganizationFactory.create()
    _pay_twice(stripe, organization)

    stripe.deliver_all(organization)
    stripe.deliver_all(organization)

    statuses = [one["status"] for one in stripe.simulator.state("subscription")]
    assert sorted(statuses) == ["active", "canceled"]
    kept = organization.subscriptions.standing().get()
    assert kept.interval == "month"
    assert store.current(organization).subscription_id == kept.stripe_id
    told = OutboxMessage.objects.filter(kind="mail.subscription_ended_duplicate")
    assert told.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_card_that_paid_outlives_an_earlier_bank_debit_under_way(stripe, worker):
    """B3 and B7: the older subscription is active at Stripe, but nothing was paid for it yet."""
    stripe.simulator.options(delayed_payment_subscription="active")
    organization = OrganizationFactory.create()
    debit = stripe.start_checkout(organization, interval="month")
    stripe.simulator.fault("POST /v1/checkout/sessions/*/expire", "http_500", times=2)
    card = stripe.start_checkout(organization, interval="year")
    stripe.pay(debit, "bank_debit_succeeds")
    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=60)
    stripe.pay(card)

    stripe.deliver_all(organization)

    assert organization.subscriptions.standing().get().interval == "year"
    assert _plan(organization) == "pro"


@pytest.mark.django_db(transaction=True)
def test_a_duplicate_is_found_on_the_return_page_as_well(stripe, worker):
    """B3 with every webhook lost: whatever syncs the customer sees both."""
    organization = OrganizationFactory.create()
    _pay_twice(stripe, organization)

    _settled(organization.checkout_intents.latest("id"))

    assert organization.subscriptions.standing().count() == 1


@pytest.mark.django_db(transaction=True)
def test_ending_a_duplicate_is_tried_again_while_stripe_fails(stripe, worker):
    """B3: the task repeats itself; each try uses the same idempotency key."""
    organization = OrganizationFactory.create()
    _pay_twice(stripe, organization)
    stripe.simulator.fault("DELETE /v1/subscriptions/*", "http_500", times=2)

    stripe.deliver_all(organization)

    assert organization.subscriptions.standing().count() == 1
    assert OutboxMessage.objects.filter(kind="mail.subscription_ended_duplicate").count() == 1


# --- Coming back -------------------------------------------------------------------------------


def _return_page(organization, person, session_id):
    return _page_of(person, "billing:return", organization, session_id=session_id)


def _page_of(person, name, organization, **query):
    client = Client()
    client.force_login(person)
    return client.get(reverse(name, args=[organization.slug]), query)


def test_who_returns_before_the_webhook_is_on_the_plan_already(stripe):
    """B4: the return page syncs its own session."""
    organization = OrganizationFactory.create()
    intent = stripe.buy(organization)

    page = _return_page(organization, owner_of(organization), intent.session_id)

    assert page.status_code == 200
    assert _plan(organization) == "pro"
    assert CheckoutIntent.objects.get(pk=intent.pk).state == CheckoutIntent.State.COMPLETED


@pytest.mark.parametrize("endpoint", ["GET /v1/checkout/sessions/*", "GET /v1/subscriptions*"])
def test_who_returns_while_stripe_is_away_is_shown_that_it_takes_a_moment(stripe, endpoint):
    """B4 and A30: the money is safe, the page asks again by itself."""
    organization = OrganizationFactory.create()
    intent = stripe.buy(organization)
    stripe.simulator.fault(endpoint, "http_500", times=2)

    page = _return_page(organization, owner_of(organization), intent.session_id)

    assert page.status_code == 200
    assert "Payment received" in page.content.decode()
    assert _plan(organization) == "hobby"
    again = _return_page(organization, owner_of(organization), intent.session_id)
    assert "You are on Pro" in again.content.decode()


def test_webhooks_after_the_return_page_change_nothing(stripe):
    """B5, one after the other; both at once is in test_failures_races."""
    organization = OrganizationFactory.create()
    intent = stripe.buy(organization)
    _settled(intent)
    subscription = store.current(organization).subscription_id

    stripe.deliver_all(organization)

    assert store.current(organization).subscription_id == subscription
    assert organization.subscriptions.count() == 1


def test_an_abandoned_session_grants_nothing_and_clears_the_way(stripe):
    """B6."""
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    stripe.simulator.expire_checkout(intent.session_id)

    stripe.deliver_all(organization)

    assert _plan(organization) == "hobby"
    assert not organization.checkout_intents.open().exists()
    assert stripe.start_checkout(organization).session_id != intent.session_id


def test_an_abandoned_session_is_cleared_without_its_webhook(stripe):
    """B6: the sweep asks Stripe how it ended."""
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    stripe.simulator.expire_checkout(intent.session_id)
    organization.checkout_intents.update(expires_at=timezone.now())

    for overdue in CheckoutIntent.objects.overdue(timezone.now()):
        checkout.close_overdue(overdue)

    assert not organization.checkout_intents.open().exists()


@pytest.mark.parametrize("meanwhile", ["incomplete", "active"])
def test_a_bank_debit_grants_nothing_until_it_succeeds(stripe, meanwhile):
    """B7, whether Stripe calls the subscription incomplete or active in between."""
    stripe.simulator.options(delayed_payment_subscription=meanwhile)
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    stripe.pay(intent, "bank_debit_succeeds")
    stripe.deliver_all(organization)
    waiting = _settled(intent)
    assert (_plan(organization), waiting.state) == ("hobby", "awaiting_bank")

    stripe.simulator.settle_debits(stripe.customer_of(organization))
    stripe.deliver_all(organization)

    assert _plan(organization) == "pro"
    assert _settled(intent).state == "active"


@pytest.mark.parametrize(
    ("meanwhile", "way_on"), [("incomplete", "another order"), ("active", "the same invoice")]
)
def test_a_bank_debit_that_fails_grants_nothing_at_all(stripe, meanwhile, way_on):
    """B7: and there is a way on. Where Stripe lets the subscription stand, its invoice is paid."""
    stripe.simulator.options(delayed_payment_subscription=meanwhile)
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    stripe.pay(intent, "bank_debit_fails")
    stripe.deliver_all(organization)

    stripe.simulator.settle_debits(stripe.customer_of(organization))
    stripe.deliver_all(organization)

    assert _plan(organization) == "hobby"
    assert not organization.plan_changes.filter(plan__key="pro").exists()
    if way_on == "another order":
        assert _settled(intent).state != "active"
        assert stripe.start_checkout(organization).session_id != intent.session_id
        return
    assert _settled(intent).state == "expired"
    with pytest.raises(PaymentRequired):
        stripe.start_checkout(organization)
    page = _page_of(owner_of(organization), "billing:settings", organization)
    assert "An invoice is unpaid" in page.content.decode()
    card = stripe_api.client().v1.payment_methods.attach(
        "pm_card_visa", {"customer": stripe.customer_of(organization)}
    )
    owed = organization.invoices.get().stripe_id
    stripe_api.client().v1.invoices.pay(owed, {"payment_method": card.id})
    stripe.deliver_all(organization)
    assert _plan(organization) == "pro"


@pytest.mark.django_db(transaction=True)
def test_a_closed_organization_pays_for_nothing(stripe, worker):
    """B9: closed between the click and the payment (its refund is a task of its own)."""
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    organizations.close(organization, actor=owner_of(organization))
    stripe.pay(intent)

    stripe.deliver_all(organization)

    (subscription,) = stripe.simulator.state("subscription")
    assert subscription["status"] == "canceled"
    assert store.current(organization).source == Source.DEFAULT


def test_a_demoted_owner_is_refused_the_return_page_but_the_payment_counts(stripe):
    """B10."""
    organization = OrganizationFactory.create()
    buyer, other = owner_of(organization), member_of(organization, Role.OWNER)
    intent = checkout.start(organization, buyer, Order(plan_key="pro"))
    stripe.pay(intent)
    members.change_role(organization.memberships.get(user=buyer), Role.MEMBER, actor=other)

    page = _return_page(organization, buyer, intent.session_id)
    stripe.deliver_all(organization)

    assert page.status_code == 403
    assert _plan(organization) == "pro"


def test_another_organizations_session_is_not_found(stripe):
    """B14."""
    theirs, ours = OrganizationFactory.create_batch(2)
    intent = stripe.buy(theirs)

    page = _return_page(ours, owner_of(ours), intent.session_id)

    assert page.status_code == 404
    assert (_plan(ours), _plan(theirs)) == ("hobby", "hobby")


def test_an_organization_in_the_body_counts_only_for_its_members(stripe):
    """B12."""
    theirs, ours = OrganizationFactory.create_batch(2)

    answer = _ask(_token(ours), tier="pro", organization=theirs.slug)

    assert answer.status_code == 404
    assert stripe.simulator.state("checkout.session") == []


def test_another_organization_in_a_sessions_metadata_gains_nothing(stripe):
    """B12 and A21: our own row says whose the customer is; the event waits for a person."""
    payer, other = OrganizationFactory.create_batch(2)
    stripe.buy(payer)
    (completed,) = stripe.simulator.events("checkout.session.completed")
    completed["data"]["object"]["metadata"]["organization"] = str(other.pk)

    stripe.deliver([completed])

    assert _plan(other) == "hobby"
    assert InboxEvent.objects.get(event_id=completed["id"]).state == InboxEvent.State.DEAD
    assert not other.checkout_intents.exists()


def test_a_customer_that_paid_in_one_currency_cannot_pick_another(stripe):
    """B15."""
    organization = OrganizationFactory.create()
    stripe.buy(organization, currency="vnd")
    stripe.deliver_all(organization)
    _cancel(stripe, organization.subscriptions.get())

    with pytest.raises(CurrencyFixed):
        stripe.start_checkout(organization, currency="usd")

    assert stripe.start_checkout(organization, currency="vnd").url


def _cancel(stripe, subscription):
    stripe_api.cancel_subscription(subscription.stripe_id, key="test")
    stripe.deliver(stripe.simulator.events("customer.subscription.deleted"))


# --- Answers that never arrive -----------------------------------------------------------------


def test_a_lost_answer_is_found_again_by_the_retry(stripe):
    """B17: Stripe made the session, the connection broke, and the SDK's own retry broke too."""
    organization = OrganizationFactory.create()
    stripe.simulator.fault(SESSIONS, "timeout_after_processing", times=2)
    with pytest.raises(StripeUnavailable):
        stripe.start_checkout(organization)

    intent = stripe.start_checkout(organization)

    (session,) = stripe.simulator.state("checkout.session")
    assert intent.session_id == session["id"]
    assert len(stripe.simulator.state("customer")) == 1


def test_a_lost_answer_is_a_retryable_503_for_the_caller(stripe):
    """B17."""
    token = _token(OrganizationFactory.create())
    stripe.simulator.fault(SESSIONS, "timeout_after_processing", times=2)

    answer = _ask(token, tier="pro")

    assert (answer.status_code, answer.json()["code"]) == (503, "stripe_unavailable")
    assert answer["Retry-After"]


def test_a_lost_answer_and_a_change_of_language_still_end_in_one_usable_session(stripe):
    """B16: the same idempotency key with other parameters would be refused for a day."""
    organization = OrganizationFactory.create()
    stripe.simulator.fault(SESSIONS, "timeout_after_processing", times=2)
    with pytest.raises(StripeUnavailable):
        stripe.start_checkout(organization)
    organization.language = "vi"
    organization.save()

    intent = stripe.start_checkout(organization)

    assert stripe.pay(intent)["status"] == "complete"


def test_an_intent_without_a_session_is_not_resumed_after_stripe_forgot_its_key(stripe):
    """B16: after 24 hours a new intent, and so a new key, takes its place."""
    organization = OrganizationFactory.create()
    stripe.simulator.fault(SESSIONS, "reset_connection", times=2)
    with pytest.raises(StripeUnavailable):
        stripe.start_checkout(organization)
    lost = organization.checkout_intents.get()
    yesterday = timezone.now() - timedelta(hours=25)
    organization.checkout_intents.update(created_at=yesterday)

    intent = stripe.start_checkout(organization)

    assert intent.pk != lost.pk
    assert len(_open_sessions(stripe)) == 1


def test_the_usual_currency_is_the_one_the_customer_paid_in(stripe):
    """B15: a body without a currency must not be refused for it."""
    organization = OrganizationFactory.create()
    BillingAccount.objects.filter(organization=organization).update(currency="vnd")

    answer = _ask(_token(organization), tier="pro")

    assert answer.status_code == 200
    assert organization.checkout_intents.get().price.currency == "vnd"
    assert "vnd" in catalog.current().currencies
