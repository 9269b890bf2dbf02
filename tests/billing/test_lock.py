"""Grace, lock and unlock: what stays open, what is refused, and who hears of it, once."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import translation

from billing import tasks
from billing.entitlement import access, store
from billing.exceptions import AccountLocked, PaymentRequired
from billing.gateway import stripe_api
from billing.messages import outbox, transitions
from billing.models import Access, EffectivePlan, OutboxMessage
from billing.subscription import changes
from billing.subscription.wishes import Wish
from orgs import members, organizations
from orgs.models import Role
from tests.billing.subscribed import default_on_renewal, on_pro, pass_days
from tests.factories.orgs import (
    InvitationFactory,
    OrganizationFactory,
    UserFactory,
    member_of,
    owner_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def in_grace(stripe):
    found = on_pro(stripe, seats=3)
    default_on_renewal(stripe, found)
    return found


@pytest.fixture
def locked(stripe, in_grace):
    pass_days(stripe, in_grace, 3.1)
    return in_grace


def browser_of(person):
    client = Client()
    client.force_login(person)
    return client


def page(organization, path):
    return f"/o/{organization.slug}/settings/{path}"


def kinds(organization):
    sent = OutboxMessage.objects.filter(organization=organization)
    return sorted(sent.values_list("kind", flat=True))


def pay(stripe, organization):
    """The owner uses another card for the open invoice."""
    stripe.simulator.set_card(stripe.customer_of(organization), None)
    owed = store.current(organization).owed_invoice
    stripe_api.client().v1.invoices.pay(owed)
    stripe.deliver_all(organization)


def test_while_locked_a_write_is_refused_with_one_way_out(locked):
    owner = browser_of(owner_of(locked))

    response = owner.post(page(locked, "members/invite/"), {"email": "a@b.test", "role": "member"})

    html = response.content.decode()
    assert response.status_code == 403
    assert 'data-code="account_locked"' in html
    assert "Pay $18.00" in html
    assert not locked.invitations.exists()


def test_who_cannot_pay_is_offered_to_tell_the_owner(locked):
    admin = browser_of(member_of(locked, "admin"))

    html = admin.post(page(locked, "members/invite/")).content.decode()

    assert "Notify owner" in html
    assert "Pay $" not in html


def test_the_owner_is_told_once_a_day(locked):
    member = member_of(locked)
    client = browser_of(member)

    for _ in range(3):
        assert client.post(page(locked, "billing/notify-owner/")).status_code == 303

    outbox.deliver_due()
    asked = [sent for sent in mail.outbox if str(member) in sent.body]
    assert [sent.to for sent in asked] == [[owner_of(locked).email]]


def test_reading_stays_open(locked):
    owner = browser_of(owner_of(locked))

    for path in ("billing/", "members/", "general/", "audit/", "audit.csv", "billing/invoices.csv"):
        assert owner.get(page(locked, path)).status_code == 200, path


def test_nobody_joins_a_locked_organization(locked):
    person = UserFactory.create(email="new@x.test")
    invitation = InvitationFactory.create(organization=locked, email="new@x.test")

    browser_of(person).post(f"/invitations/{invitation.secret}/accept/")

    assert not locked.memberships.filter(user=person).exists()


def test_a_locked_organization_buys_nothing(locked):
    with pytest.raises(AccountLocked):
        changes.change(locked, owner_of(locked), Wish(seats=5))


def test_paying_unlocks(locked, stripe):
    pay(stripe, locked)

    assert store.current(locked).access == Access.FULL
    access.check_write(locked)


def test_restricted_refuses_what_buys_and_nothing_else(in_grace):
    EffectivePlan.objects.filter(organization=in_grace).update(access=Access.RESTRICTED)
    owner = browser_of(owner_of(in_grace))

    buying = owner.post(page(in_grace, "billing/change/"), {"quote": "x"})
    working = owner.post(page(in_grace, "general/describe/"), {"name": "Another"})

    assert buying.status_code == 403
    assert 'data-code="payment_required"' in buying.content.decode()
    assert working.status_code != 403
    with pytest.raises(PaymentRequired):
        access.check_paid_action(in_grace)
    access.check_write(in_grace)


def test_each_transition_is_told_once_and_by_its_invoice(in_grace, stripe):
    pass_days(stripe, in_grace, 2.2)
    transitions.remind()
    transitions.remind()
    pass_days(stripe, in_grace, 1)
    transitions.make_due_changes_visible()
    transitions.make_due_changes_visible()
    pay(stripe, in_grace)

    counted = kinds(in_grace)
    for kind in ("grace_ending", "locked", "unlocked", "payment_failed", "welcome"):
        assert counted.count(f"mail.{kind}") == 1, kind


def test_what_is_no_longer_true_is_not_sent(locked, stripe):
    transitions.make_due_changes_visible()
    pay(stripe, locked)
    mail.outbox.clear()

    outbox.deliver_due()

    subjects = [sent.subject for sent in mail.outbox]
    assert f"{locked.name} is unlocked" in subjects
    assert f"{locked.name} is read-only" not in subjects
    dropped = OutboxMessage.objects.filter(state=OutboxMessage.State.DROPPED)
    assert {"mail.locked", "mail.payment_failed"} <= set(dropped.values_list("kind", flat=True))


@pytest.mark.parametrize("language", ["en", "vi"])
def test_a_mail_speaks_the_organizations_language_in_text_and_html(locked, language):
    locked.language = language
    locked.save()
    mail.outbox.clear()

    outbox.deliver_due()

    with translation.override(language):
        subject = translation.gettext("%(organization)s is read-only")
    sent: Any = next(s for s in mail.outbox if s.subject == subject % {"organization": locked.name})
    html, kind = sent.alternatives[0]
    assert kind == "text/html"
    assert f'lang="{language}"' in html
    assert "/settings/billing/" in sent.body


def test_a_mail_that_the_catalogue_switches_off_is_not_sent(stripe, settings, catalog_file):
    catalog_file.edit(
        "[beta]\nenabled = false", "[mail]\nlocked = false\n\n[beta]\nenabled = false"
    )
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 4)

    transitions.make_due_changes_visible()

    assert store.current(organization).access == Access.READ_ONLY
    assert "mail.locked" not in kinds(organization)


def test_where_grace_ends_with_the_plan_the_subscription_ends_at_stripe(
    stripe, settings, catalog_file
):
    catalog_file.edit('at_end = "lock"', 'at_end = "downgrade"\ncancel_at_stripe = true')
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 3.5)
    transitions.make_due_changes_visible()
    before = store.current(organization)

    tasks.end_unpaid_subscriptions()
    tasks.end_unpaid_subscriptions()

    assert (before.plan.key, before.access) == ("hobby", Access.FULL)
    assert organization.subscriptions.get().status == "canceled"
    assert kinds(organization).count("mail.downgraded") == 1


def test_where_nothing_is_sold_nothing_locks_and_an_organization_can_be_closed():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)

    members.invite(organization, "an@example.com", Role.MEMBER, inviter=owner)
    organizations.close(organization, actor=owner)

    organization.refresh_from_db()
    assert organization.closed_at is not None
