"""Card numbers, security codes and full addresses leave no trace here (document 003, E28)."""

import logging

import pytest

from billing import redaction
from billing.gateway import stripe_api
from billing.messages import outbox
from billing.models import InboxEvent
from tests.architecture import canary
from tests.factories.orgs import OrganizationFactory, owner_of

pytestmark = pytest.mark.django_db

NUMBER = "4000 0566 5566 5556"
CODE = "canary-cvc-911"
STREET = "77 Canary Yellow Road"
POSTCODE = "CANARY-94107"
PHONE = "+1 555 0100 4242"
HOLDER = "Canary Cardholder"
NEEDLES = [NUMBER, CODE, STREET, POSTCODE, PHONE, HOLDER]
ADDRESS = {"line1": STREET, "postal_code": POSTCODE, "country": "US"}
CARD = {"number": NUMBER.replace(" ", ""), "cvc": CODE, "exp_month": 12, "exp_year": 2030}
BUYER = {"address": ADDRESS, "name": HOLDER, "phone": PHONE}


def test_a_purchase_leaves_no_card_and_no_address_anywhere(
    stripe, redis_server, client, django_capture_on_commit_callbacks
):
    """Checkout, the portal, webhooks that say too much, mails, tasks, logs: 0 hits."""
    organization = OrganizationFactory.create()
    with canary.watching() as watched, django_capture_on_commit_callbacks(execute=True):
        _buys(stripe, organization)
        _moves_in_the_portal(stripe, organization)
        _webhooks_that_say_too_much(stripe, organization)
        outbox.deliver_due()
        client.force_login(owner_of(organization))
        client.get(f"/o/{organization.slug}/settings/billing/")

    assert any(STREET in str(customer) for customer in stripe.simulator.state("customer"))
    assert HOLDER in str(stripe.simulator.events("payment_method.attached"))
    assert InboxEvent.objects.exclude(state=InboxEvent.State.WAITING).count() > 15
    assert watched.lines
    assert canary.hits(NEEDLES, besides=watched.places()) == []


def _buys(stripe, organization):
    intent = stripe.start_checkout(organization)
    stripe.simulator.complete_checkout(intent.session_id, address=ADDRESS, name=HOLDER)
    stripe.deliver_all(organization)


def _moves_in_the_portal(stripe, organization):
    customer = stripe.customer_of(organization)
    shipping = {"address": ADDRESS, "name": HOLDER, "phone": PHONE}
    stripe_api.update_customer(customer, {"address": ADDRESS, "phone": PHONE, "shipping": shipping})
    stripe.deliver(stripe.simulator.events("customer.updated"))


def _webhooks_that_say_too_much(stripe, organization):
    """What Stripe never sends, and what people type where it does not belong."""
    said = {
        "card": CARD,
        "billing_details": BUYER,
        "description": f"my card is {NUMBER}, thank you",
        "metadata": {"note": NUMBER, NUMBER.replace(" ", "-"): "typed as a name"},
    }
    about = {
        "customer.updated": stripe.customer_of(organization),
        "invoice.paid": organization.invoices.get().stripe_id,
        "charge.succeeded": stripe.simulator.state("charge")[0]["id"],
    }
    stripe.deliver(
        stripe.simulator.emit(kind, subject, overrides={"data": {"object": said}})
        for kind, subject in about.items()
    )


def test_an_error_that_names_a_card_is_logged_without_it(caplog):
    with canary.watching() as watched:
        logging.getLogger("billing").warning("Stripe said: card %s was declined", NUMBER)

    (line,) = [line for line in watched.lines if "declined" in line]
    assert NUMBER not in line
    assert redaction.NUMBER_REMOVED in line


@pytest.mark.parametrize(
    "text",
    ["4242424242424242", "4242 4242 4242 4242", "3782-822463-10005", "a 5555555555554444, b"],
)
def test_a_card_number_is_found_in_any_text(text):
    assert redaction.NUMBER_REMOVED in redaction.without_card_numbers(text)


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # does not add up
        "in_4242424242424242",  # a name of Stripe's
        "9f1d4242-4242-4242-4242-424242424242",
        "20261120T165900",
        "1000000000000000",
    ],
)
def test_what_only_looks_like_a_card_number_is_left_alone(text):
    assert redaction.without_card_numbers(text) == text
