"""Drift: what differs from Stripe is found, repaired, written down, and paid back where it cost."""

from datetime import timedelta

import pytest
from celery import current_app
from django.test import Client
from django.utils import timezone

from billing import tasks
from billing.entitlement import store
from billing.exceptions import SyncedJustNow
from billing.gateway import reconcile, stripe_api
from billing.messages import transitions
from billing.models import (
    BillingAccount,
    DriftFinding,
    EffectivePlan,
    Ending,
    InboxEvent,
    OutboxMessage,
    ReconcileRun,
    Refund,
)
from billing.subscription import syncing, trials
from orgs import members, organizations
from orgs.models import AuditEntry, Role
from tests.billing.stripe_events import drain_all, post
from tests.billing.subscribed import on_pro
from tests.factories.orgs import OrganizationFactory, member_of, owner_of

pytestmark = pytest.mark.django_db

Kind = DriftFinding.Kind


@pytest.fixture
def worker():
    """Tasks run in this process, right after the commit that asked for them."""
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def browser_of(person):
    client = Client()
    client.force_login(person)
    return client


def paid_back(stripe):
    return sum(one["amount"] for one in stripe.simulator.state("refund"))


# --- Finding ----------------------------------------------------------------------------------


def test_what_the_reconcile_finds_is_repaired_and_written_down_once(stripe):
    organization = on_pro(stripe, seats=3)
    subscription = organization.subscriptions.get()
    stripe_api.update_subscription(
        subscription.stripe_id, {"cancel_at_period_end": True}, key="behind our back"
    )

    first, second = reconcile.run(), reconcile.run()

    finding = DriftFinding.objects.get(kind=Kind.STALE)
    assert (first.findings, second.findings) == (1, 0)
    assert (finding.organization, finding.subject) == (organization, subscription.stripe_id)
    assert finding.detail["cancel_at_period_end"] == [False, True]
    assert finding.repaired
    assert store.current(organization).ends_at is not None
    assert ReconcileRun.objects.filter(finished_at__isnull=False, resynced=1).count() == 2


def test_an_event_that_waits_in_our_inbox_is_no_drift(stripe):
    organization = on_pro(stripe)
    known = {event["id"] for event in stripe.simulator.events()}
    stripe_api.cancel_subscription(organization.subscriptions.get().stripe_id, key="test")
    for event in stripe.simulator.events():
        if event["id"] not in known:
            post(stripe.client, event)

    reconcile.run()

    assert store.current(organization).plan.key == "hobby"
    assert not DriftFinding.objects.filter(kind=Kind.STALE).exists()


def test_events_that_never_arrived_are_named(stripe, monkeypatch):
    stripe.simulator.set_webhook("http://127.0.0.1:9/webhooks/stripe", "whsec_nobody_listens")
    stripe.simulator.set_delivery("drop")
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    monkeypatch.setattr(reconcile, "_ON_ITS_WAY", timedelta(0))

    reconcile.run()

    lost = DriftFinding.objects.filter(kind=Kind.UNDELIVERED, organization=organization)
    assert store.current(organization).plan.key == "pro"
    assert lost.filter(detail__type="customer.subscription.created").count() == 1


def test_a_customer_that_stripe_refuses_holds_up_nobody_behind_it(stripe, monkeypatch):
    """The cursor moves with every turn, so that the last of many is reached as well."""
    monkeypatch.setattr(reconcile, "_LEAST", 1)
    broken, other = on_pro(stripe), on_pro(stripe)
    stripe_api.cancel_subscription(other.subscriptions.get().stripe_id, key="test")
    BillingAccount.objects.filter(organization=broken).update(swept_at="2020-01-01T00:00Z")
    BillingAccount.objects.filter(organization=other).update(swept_at="2020-01-02T00:00Z")
    customer = stripe.customer_of(broken)
    stripe.simulator.fault(f"GET /v1/customers/{customer}", "http_500", times=2)

    first, second = reconcile.run(), reconcile.run()

    assert (first.failed, second.failed) == (1, 0)
    assert store.current(other).plan.key == "hobby"


def test_sweeps_reach_whoever_stands_behind_the_first_chunk(published, monkeypatch):
    """With chunks of one, three rows are as good as fifteen hundred; one of them is broken."""
    monkeypatch.setattr(transitions, "_CHUNK", 1)
    teams = OrganizationFactory.create_batch(3)
    soon = timezone.now() + timedelta(hours=12)
    for team in teams:
        trials.start(team, owner_of(team), "pro")
        team.grants.update(ends_at=soon)
        store.rederive(team, cause="test")
    rederive = store.rederive

    def but_not_the_first(organization, *, cause):
        if organization == min(teams, key=lambda team: team.pk):
            raise ValueError("broken")
        return rederive(organization, cause=cause)

    transitions.remind()
    EffectivePlan.objects.update(valid_until=timezone.now() - timedelta(hours=1))
    monkeypatch.setattr(store, "rederive", but_not_the_first)

    assert OutboxMessage.objects.filter(kind="mail.trial_ending").count() == 3
    assert transitions.make_due_changes_visible() == 2


def test_a_second_customer_of_an_organization_is_shown_to_staff_and_left_alone(stripe):
    """Metadata is never believed (A21): nothing is granted, cancelled or paid back by it."""
    organization = on_pro(stripe)
    event = stripe.simulator.emit(
        "customer.subscription.created",
        {
            "id": "sub_x",
            "object": "subscription",
            "customer": "cus_second",
            "metadata": {"organization": str(organization.pk)},
        },
    )
    assert post(stripe.client, event).status_code == 200

    for _attempt in range(5):
        InboxEvent.objects.update(next_attempt_at="2020-01-01T00:00Z")
        drain_all()

    finding = DriftFinding.objects.get(kind=Kind.STRANGER)
    assert (finding.subject, finding.organization) == ("cus_second", organization)
    assert not finding.repaired


def test_drift_is_measured(stripe, settings):
    settings.METRICS_TOKEN = "secret"
    organization = on_pro(stripe)
    stripe_api.cancel_subscription(organization.subscriptions.get().stripe_id, key="test")
    reconcile.run()

    scraped = Client().get("/metrics", headers={"authorization": "Bearer secret"})

    lines = scraped.content.decode().splitlines()
    assert 'ledgerline_drift_findings{kind="stale"} 1.0' in lines
    assert 'ledgerline_drift_findings{kind="duplicate"} 0.0' in lines
    assert "ledgerline_drift_unrepaired 0.0" in lines


# --- Sync now ---------------------------------------------------------------------------------


def test_an_owner_syncs_by_hand_and_is_asked_to_wait_before_the_next_time(stripe):
    organization = on_pro(stripe)
    stripe_api.cancel_subscription(organization.subscriptions.get().stripe_id, key="test")
    owner = browser_of(owner_of(organization))
    url = f"/o/{organization.slug}/settings/billing/sync/"
    stripe.simulator.clear_requests()

    owner.post(url)
    page = owner.post(url, follow=True).content.decode()

    assert store.current(organization).plan.key == "hobby"
    assert "1 thing was behind Stripe" in page
    assert "wait half a minute" in page
    assert stripe.simulator.requests()["GET /v1/customers/{customer}"] == 1
    assert AuditEntry.objects.filter(action="billing.synced", organization=organization).exists()


def test_the_turn_comes_back_after_half_a_minute(stripe):
    organization = on_pro(stripe)
    person = owner_of(organization)
    assert syncing.now(organization, person) == []
    with pytest.raises(SyncedJustNow):
        syncing.now(organization, person)

    BillingAccount.objects.update(sync_asked_at=timezone.now() - syncing.PAUSE)

    assert syncing.now(organization, person) == []


def test_only_those_who_manage_billing_may_sync(stripe):
    organization = on_pro(stripe)
    admin = browser_of(member_of(organization, Role.ADMIN))

    answer = admin.post(f"/o/{organization.slug}/settings/billing/sync/")

    assert answer.status_code == 403


# --- Duplicates and refunds -------------------------------------------------------------------


def buy_twice(stripe, organization, *, second_card="success"):
    """Stripe fails to expire the first session, and both are paid; the first is a minute older."""
    first = stripe.start_checkout(organization, interval="month", seats=2)
    stripe.simulator.fault("POST /v1/checkout/sessions/*/expire", "http_500", times=2)
    second = stripe.start_checkout(organization, interval="year")
    stripe.pay(first)
    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=60)
    stripe.pay(second, second_card)


@pytest.mark.django_db(transaction=True)
def test_who_paid_twice_gets_the_second_payment_back_to_the_cent_and_once(stripe, worker):
    """B3: and however often the events come again."""
    organization = OrganizationFactory.create()
    buy_twice(stripe, organization)

    stripe.deliver_all(organization)
    stripe.deliver_all(organization)
    reconcile.run()

    refund = Refund.objects.get()
    invoice = organization.invoices.get(stripe_id=refund.invoice_id)
    assert organization.subscriptions.standing().get().interval == "month"
    assert invoice.amount_paid == invoice.amount_refunded == refund.amount == paid_back(stripe) > 0
    assert organization.invoices.exclude(pk=invoice.pk).get().amount_refunded == 0
    assert DriftFinding.objects.filter(kind=Kind.DUPLICATE).count() == 1
    assert AuditEntry.objects.filter(action="billing.refunded").count() == 1
    assert OutboxMessage.objects.filter(kind="mail.subscription_ended_duplicate").count() == 1


def test_a_refund_that_stripe_fails_to_make_is_made_by_the_next_reconcile(stripe):
    organization = OrganizationFactory.create()
    buy_twice(stripe, organization)
    stripe.simulator.fault("POST /v1/refunds", "timeout_after_processing", times=1)
    stripe.deliver_all(organization)
    tasks.end_duplicate_subscriptions.run(str(organization.pk))

    tasks.reconcile_hourly()
    stripe.deliver_all(organization)

    assert len(stripe.simulator.state("refund")) == 1
    assert Refund.objects.get().done_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_bank_debit_for_a_duplicate_goes_back_when_it_arrives(stripe, worker):
    organization = OrganizationFactory.create()
    stripe.simulator.options(delayed_payment_subscription="active")
    buy_twice(stripe, organization, second_card="bank_debit_succeeds")
    stripe.deliver_all(organization)
    assert paid_back(stripe) == 0

    stripe.simulator.settle_debits(stripe.customer_of(organization))
    stripe.deliver_all(organization)

    assert organization.subscriptions.standing().count() == 1
    assert paid_back(stripe) == Refund.objects.get().amount > 0


def test_what_a_closed_organization_bought_and_never_used_goes_back(stripe):
    """B9."""
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    organizations.close(organization, actor=owner_of(organization))
    stripe.pay(intent)
    stripe.deliver_all(organization)

    for _twice in range(2):
        tasks.end_orphaned_subscriptions.run(str(organization.pk))
        tasks.return_money.run(str(organization.pk))

    assert organization.subscriptions.get().status == "canceled"
    assert paid_back(stripe) == organization.invoices.get().amount_paid > 0
    assert Ending.objects.get().why == Ending.Why.CLOSED


def test_what_a_closed_organization_had_used_stays_paid(stripe):
    organization = on_pro(stripe)
    organizations.close(organization, actor=owner_of(organization))

    tasks.end_orphaned_subscriptions.run(str(organization.pk))

    assert organization.subscriptions.get().status == "canceled"
    assert paid_back(stripe) == 0


# --- Name and address -------------------------------------------------------------------------


def customer_at_stripe(stripe, organization):
    known = stripe.customer_of(organization)
    return next(one for one in stripe.simulator.state("customer") if one["id"] == known)


@pytest.mark.django_db(transaction=True)
def test_a_new_name_and_billing_address_reach_stripe_and_the_trail(stripe, worker):
    organization = on_pro(stripe)
    owner = browser_of(owner_of(organization))

    owner.post(f"/o/{organization.slug}/settings/billing/email/", {"email": "Pay@Example.com"})
    organization.refresh_from_db()
    organizations.rename(organization, "Lotus", actor=owner_of(organization))

    customer = customer_at_stripe(stripe, organization)
    changed = AuditEntry.objects.filter(
        organization=organization, action="organization.described"
    ).order_by("at")
    assert (customer["email"], customer["name"]) == ("pay@example.com", "Lotus")
    assert [entry.after for entry in changed] == [
        {"billing_email": "pay@example.com"},
        {"name": "Lotus"},
    ]


def test_a_change_that_stripe_did_not_hear_is_told_later_and_another_owner_too(stripe):
    organization = on_pro(stripe)
    heir = member_of(organization)
    members.hand_over(organization.memberships.get(user=heir), owner=owner_of(organization))

    tasks.reconcile_hourly()
    stripe.simulator.clear_requests()
    tasks.reconcile_hourly()

    assert customer_at_stripe(stripe, organization)["email"] == heir.email
    assert "POST /v1/customers/{customer}" not in stripe.simulator.requests()


def test_nonsense_is_no_billing_address(stripe):
    organization = on_pro(stripe)
    owner = browser_of(owner_of(organization))

    page = owner.post(
        f"/o/{organization.slug}/settings/billing/email/", {"email": "nobody"}, follow=True
    )

    organization.refresh_from_db()
    assert "Enter a valid e-mail address" in page.content.decode()
    assert organization.billing_email == ""
