"""Choose a plan, pay, and the plan is on: by clicking, from the sign-in to the invoice."""

import pytest

from billing.models import InboxEvent, Subscription
from tests.factories.orgs import OrganizationFactory, UserFactory

SUCCEEDS = "The payment succeeds."
DECLINED = "The card is declined."
THREE_D_SECURE = "The bank asks for 3-D Secure first."


@pytest.fixture
def owner(simulator):
    owner = UserFactory.create(name="Lê Thu Hà", email="ha@halong.example")
    OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    return owner


@pytest.fixture
def at_checkout(visitor, owner):
    """Signed in, on Billing, and one click further."""
    visitor.page.goto("/accounts/login/")
    visitor.look("sign-in")
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.reads("Hobby")
    visitor.look("billing-free")
    visitor.press("Upgrade to Pro")
    return visitor


def test_an_owner_pays_and_is_on_pro_with_the_webhook_on_time(at_checkout, simulator):
    at_checkout.pay_at_checkout(SUCCEEDS)

    at_checkout.reads("You are on Pro")
    at_checkout.look("return")
    simulator.wait_until_idle()
    at_checkout.page.get_by_role("link", name="Back to billing").click()
    at_checkout.reads("Your plan")
    at_checkout.reads("Visa ending in 4242")
    at_checkout.reads("Downgrade to Hobby")
    at_checkout.look("billing-pro")
    assert at_checkout.page.get_by_role("table", name="Invoices").get_by_text("Paid").count() == 1
    assert InboxEvent.objects.exists()


def test_an_owner_pays_and_is_on_pro_though_every_webhook_is_held_back(at_checkout, simulator):
    simulator.set_delivery("hold")

    at_checkout.pay_at_checkout(SUCCEEDS)

    at_checkout.reads("You are on Pro")
    assert Subscription.objects.get().status == "active"
    assert not InboxEvent.objects.filter(type="checkout.session.completed").exists()


def test_a_declined_card_changes_nothing_and_another_one_can_pay(at_checkout, simulator):
    at_checkout.pay_at_checkout(DECLINED)

    at_checkout.page.get_by_role("alert").wait_for()
    at_checkout.look("checkout-declined")
    at_checkout.page.get_by_role("link", name="Cancel and return").click()
    at_checkout.reads("You left the payment page. Nothing was charged.")
    at_checkout.reads("No card is needed.")
    at_checkout.look("billing-cancelled")
    at_checkout.press("Upgrade to Pro")
    at_checkout.pay_at_checkout(SUCCEEDS)
    at_checkout.reads("You are on Pro")


def test_the_bank_may_ask_first(at_checkout, simulator):
    at_checkout.pay_at_checkout(THREE_D_SECURE)

    at_checkout.page.get_by_role("button").first.wait_for()
    at_checkout.look("challenge")
