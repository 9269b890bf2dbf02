"""Messages leave once, after the commit, and wait while their receiver is away (A27, G14)."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from billing.messages import outbox
from billing.models import OutboxMessage
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def letters(monkeypatch):
    """A kind of message that is delivered into a list."""
    delivered = []
    monkeypatch.setitem(outbox._senders, "letter", lambda message: delivered.append(message.kind))
    return delivered


def test_a_message_with_the_same_key_is_put_and_sent_once(letters):
    organization = OrganizationFactory.create()

    first = outbox.put(organization, "letter.hello", once_per="1")
    second = outbox.put(organization, "letter.hello", once_per="1")
    outbox.deliver_due()
    outbox.deliver_due()

    assert (first, second) == (True, False)
    assert letters == ["letter.hello"]


def test_a_receiver_that_is_away_is_tried_again_later(monkeypatch):
    def away(message):
        raise ConnectionRefusedError("smtp")

    monkeypatch.setitem(outbox._senders, "letter", away)
    outbox.put(OrganizationFactory.create(), "letter.hello", once_per="1")

    outbox.deliver_due()

    message = OutboxMessage.objects.get(kind="letter.hello")
    assert (message.state, message.attempts) == (OutboxMessage.State.WAITING, 1)
    assert message.next_attempt_at > timezone.now() + timedelta(seconds=20)
    assert "ConnectionRefusedError" in message.last_error


def test_after_many_tries_a_message_is_a_dead_letter(monkeypatch):
    def broken(message):
        raise ValueError("sk_test_" + "a" * 30)

    monkeypatch.setitem(outbox._senders, "letter", broken)
    outbox.put(OrganizationFactory.create(), "letter.hello", once_per="1")

    for _ in range(outbox.MAX_ATTEMPTS):
        OutboxMessage.objects.update(next_attempt_at=timezone.now())
        outbox.deliver_due()

    message = OutboxMessage.objects.get(kind="letter.hello")
    assert message.state == OutboxMessage.State.DEAD
    assert "a" * 30 not in message.last_error


def test_a_kind_that_nobody_delivers_holds_up_no_other(letters):
    organization = OrganizationFactory.create()
    outbox.put(organization, "smoke.signal", once_per="1")
    outbox.put(organization, "letter.hello", once_per="1")

    outbox.deliver_due()

    assert letters == ["letter.hello"]


def test_a_payment_sends_its_receipt_to_the_owner_once(stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization, seats=2)
    stripe.deliver_all(organization)
    stripe.deliver_all(organization)
    mail.outbox.clear()

    outbox.deliver_due()

    (receipt,) = [letter for letter in mail.outbox if "12.00" in letter.subject]
    owner = organization.memberships.get().user
    assert receipt.to == [owner.email]
    assert organization.invoices.get().number in receipt.body


def test_a_mail_speaks_the_language_of_its_organization(stripe):
    organization = OrganizationFactory.create(language="vi")
    stripe.buy(organization)
    stripe.deliver_all(organization)
    mail.outbox.clear()

    outbox.deliver_due()

    assert mail.outbox
    for letter in mail.outbox:
        assert not letter.subject.startswith("Receipt")
        assert 'lang="vi"' in letter.message().as_string()
