"""Staff see the background and may replay it; they rewrite nothing (E11, H7)."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.entitlement import store
from billing.models import Grant, InboxEvent, OutboxMessage, Source
from orgs.models import AuditEntry
from tests.factories.orgs import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db

LISTS = [
    "inboxevent", "outboxmessage", "billingaccount", "effectiveplan", "effectiveplanchange",
    "subscription", "invoice", "checkoutintent", "grant", "driftfinding", "reconcilerun", "ending",
    "refund",
]  # fmt: skip


@pytest.fixture
def staff(settings):
    settings.ADMIN_REQUIRES_MFA = False
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


def act(client, model, action, *rows):
    return client.post(
        reverse(f"admin:billing_{model}_changelist"),
        {"action": action, "_selected_action": [row.pk for row in rows]},
        follow=True,
    )


@pytest.mark.parametrize("model", LISTS)
def test_every_list_opens_and_can_be_searched(staff, stripe, model):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)

    answer = staff.get(reverse(f"admin:billing_{model}_changelist"), {"q": "x"})

    assert answer.status_code == 200


def test_a_dead_letter_is_replayed_from_stripe_itself(staff, stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    customer_id = stripe.customer_of(organization)
    dead = InboxEvent.objects.create(
        event_id="evt_dead",
        type="customer.subscription.created",
        customer_id=customer_id,
        livemode=False,
        payload={},
        state=InboxEvent.State.DEAD,
    )

    act(staff, "inboxevent", "replay_events", dead)

    dead.refresh_from_db()
    assert dead.state == InboxEvent.State.DONE
    assert store.current(organization).plan.key == "pro"
    assert AuditEntry.objects.filter(action="billing.events_replayed").count() == 1


def test_replaying_everything_changes_nothing(staff, stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    stripe.deliver_all(organization)
    before = store.current(organization).sequence

    act(staff, "inboxevent", "replay_events", *InboxEvent.objects.all())

    assert store.current(organization).sequence == before


def test_what_has_no_customer_waits_again_and_what_stripe_refuses_stays_dead(staff, stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    dead = {"type": "invoice.paid", "livemode": False, "payload": {}, "state": "dead"}
    nobodys = InboxEvent.objects.create(event_id="evt_1", attempts=8, **dead)
    refused = InboxEvent.objects.create(
        event_id="evt_2", customer_id=stripe.customer_of(organization), **dead
    )
    stripe.simulator.fault("GET /v1/customers/*", "http_500", times=20)

    page = act(staff, "inboxevent", "replay_events", nobodys, refused).content.decode()

    nobodys.refresh_from_db()
    refused.refresh_from_db()
    assert (nobodys.state, nobodys.attempts) == (InboxEvent.State.WAITING, 0)
    assert refused.state == InboxEvent.State.DEAD
    assert "messagelist" in page
    assert AuditEntry.objects.get(action="billing.events_replayed").after["count"] == 2


def test_staff_sync_a_customer_and_send_a_dead_letter_again(staff, stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    letters = {
        state: OutboxMessage.objects.create(
            kind="mail.receipt", once_per=state, state=state, attempts=9
        )
        for state in ("dead", "sent")
    }

    synced = act(staff, "billingaccount", "sync_now", organization.billing_account)
    act(staff, "outboxmessage", "send_again", *letters.values())

    assert "1 synced." in synced.content.decode()
    assert store.current(organization).plan.key == "pro"
    for letter in letters.values():
        letter.refresh_from_db()
    assert (letters["dead"].state, letters["dead"].attempts) == (OutboxMessage.State.WAITING, 0)
    assert (letters["sent"].state, letters["sent"].attempts) == (OutboxMessage.State.SENT, 9)
    assert AuditEntry.objects.get(action="billing.messages_revived").after["of"] == ["dead"]


def test_looking_is_not_acting(settings, published):
    settings.ADMIN_REQUIRES_MFA = False
    onlooker = UserFactory.create(is_staff=True)
    onlooker.user_permissions.add(
        *Permission.objects.filter(content_type__app_label="billing", codename__startswith="view_")
    )
    client = Client()
    client.force_login(onlooker)
    dead = OutboxMessage.objects.create(
        kind="mail.receipt", once_per="1", state=OutboxMessage.State.DEAD
    )

    act(client, "outboxmessage", "send_again", dead)

    dead.refresh_from_db()
    assert dead.state == OutboxMessage.State.DEAD


def test_a_plan_given_by_hand_applies_at_once_and_is_written_down(staff, published):
    organization = OrganizationFactory.create()

    staff.post(
        reverse("admin:billing_grant_add"),
        {
            "organization": organization.pk,
            "source": Source.MANUAL,
            "plan_key": "enterprise",
            "seats": 10,
            "reason": "Pilot customer",
            "starts_at_0": timezone.now().date().isoformat(),
            "starts_at_1": "00:00:00",
        },
    )

    effective = store.current(organization)
    entry = AuditEntry.objects.get(action="billing.grant_given")
    assert (effective.plan.key, effective.source) == ("enterprise", Source.MANUAL)
    assert entry.after is not None
    assert entry.after["reason"] == "Pilot customer"


def test_a_revoked_grant_ends_at_once(staff, published):
    organization = OrganizationFactory.create()
    grant = Grant.objects.create(
        organization=organization, source=Source.MANUAL, plan_key="enterprise", reason="x"
    )
    store.rederive(organization, cause="test")

    act(staff, "grant", "revoke", grant)

    assert store.current(organization).plan.key == "hobby"
    assert AuditEntry.objects.filter(action="billing.grant_revoked").exists()


def test_no_page_of_the_admin_shows_what_dj_stripe_keeps():
    shown = {model._meta.app_label for model in admin.site._registry}

    assert "billing" in shown
    assert "djstripe" not in shown
