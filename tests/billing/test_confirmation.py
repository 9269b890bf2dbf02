"""3-D Secure: the payer is sent to the bank; nothing is given before it is paid."""

import pytest
from django.core import mail
from django.test import Client

from billing.entitlement import store
from billing.gateway import stripe_api
from billing.messages import outbox
from billing.models import Invoice, OutboxMessage
from billing.subscription import changes, preview
from billing.subscription.wishes import Wish
from orgs.models import AuditEntry
from tests.billing.subscribed import on_pro, pass_days
from tests.factories.orgs import owner_of

pytestmark = pytest.mark.django_db


def browser_of(person):
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def waiting(stripe):
    """Three seats wanted instead of two, by a card whose bank asks first."""
    organization = on_pro(stripe, seats=2, days=10)
    stripe.simulator.set_card(stripe.customer_of(organization), "3ds")
    shown = preview.of_change(organization, Wish(seats=3))
    client = browser_of(owner_of(organization))
    url = f"/o/{organization.slug}/settings/billing/change/"
    answers = [client.post(url, {"quote": shown.quote}) for _click in range(2)]
    return organization, answers


def pay(stripe, invoice):
    """As on Stripe's page: the payer confirms, so the card pays."""
    stripe.simulator.set_card(stripe.customer_of(invoice.organization), None)
    stripe_api.client().v1.invoices.pay(invoice.stripe_id)


def seats(organization):
    return store.current(organization).seats


def test_who_changes_is_sent_to_the_bank_and_nothing_changes_until_it_is_paid(stripe, waiting):
    organization, answers = waiting
    invoice = organization.invoices.get(status=Invoice.Status.OPEN)
    page = browser_of(owner_of(organization)).get(f"/o/{organization.slug}/settings/billing/")
    before = (seats(organization), store.current(organization).grace_ends_at)

    pay(stripe, invoice)
    stripe.deliver_all(organization)

    assert [answer.status_code for answer in answers] == [303, 303]
    assert {answer["Location"] for answer in answers} == {invoice.hosted_url}
    assert before == (2, None)
    assert "Confirm your payment with your bank" in page.content.decode()
    assert seats(organization) == 3
    assert organization.subscriptions.get().pending_invoice_id == ""
    assert AuditEntry.objects.filter(action="billing.change_awaits_bank").exists()
    assert not OutboxMessage.objects.filter(kind="mail.payment_failed").exists()


def test_a_change_that_nobody_confirms_is_forgotten_and_owes_nothing(stripe, waiting):
    organization, _answers = waiting

    pass_days(stripe, organization, 5)

    assert seats(organization) == 2
    assert store.current(organization).grace_ends_at is None
    assert set(organization.invoices.values_list("status", flat=True)) == {"paid", "void"}


def test_the_api_says_where_to_confirm(stripe):
    organization = on_pro(stripe, seats=2)
    stripe.simulator.set_card(stripe.customer_of(organization), "3ds")

    done = changes.change(organization, owner_of(organization), Wish(seats=4))

    assert done.confirm_url == organization.invoices.get(status="open").hosted_url
    assert seats(organization) == 2


def test_a_renewal_that_the_bank_wants_confirmed_says_so_and_ends_when_it_is(stripe):
    organization = on_pro(stripe)
    stripe.simulator.set_card(stripe.customer_of(organization), "3ds")
    edge = store.current(organization).period_end
    stripe.simulator.advance(
        customer=stripe.customer_of(organization), to=int(edge.timestamp()) + 7200
    )
    stripe.deliver_all(organization)
    invoice = organization.invoices.get(status=Invoice.Status.OPEN)
    page = browser_of(owner_of(organization)).get(f"/o/{organization.slug}/settings/billing/")
    mail.outbox.clear()
    outbox.deliver_due()

    pay(stripe, invoice)
    stripe.deliver_all(organization)

    assert invoice.needs_confirmation
    assert "Your bank wants you to confirm" in page.content.decode()
    assert any("Your bank wants you to confirm" in sent.body for sent in mail.outbox)
    assert store.current(organization).grace_ends_at is None
    assert not organization.invoices.filter(needs_confirmation=True).exists()
