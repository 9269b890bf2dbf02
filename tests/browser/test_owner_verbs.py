"""Everything after the first payment, by clicking: seats, year, promotion, leaving, lock."""

import pytest

from billing.entitlement import store
from billing.models import Access
from config.embedded.processes import wait_for
from tests.billing.test_promo import offer
from tests.factories.orgs import OrganizationFactory, UserFactory


@pytest.fixture
def owner(simulator):
    owner = UserFactory.create(name="Lê Thu Hà", email="ha@halong.example")
    OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    return owner


@pytest.fixture
def on_pro(visitor, owner, simulator):
    """Signed in, and paying for Pro by the month."""
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.press("Upgrade to Pro")
    visitor.pay_at_checkout("The payment succeeds.")
    visitor.reads("You are on Pro")
    simulator.wait_until_idle()
    visitor.page.get_by_role("link", name="Back to billing").click()
    visitor.reads("Your plan")
    return visitor


def test_an_owner_changes_seats_year_and_mind(on_pro, simulator):
    page = on_pro.page
    page.get_by_label("Seats", exact=True).fill("4")
    on_pro.press("See the price")
    on_pro.reads("Charged today")
    on_pro.look("change-seats")
    on_pro.press("Confirm the change")
    on_pro.reads("Done. You are on Pro.")
    on_pro.reads("4 seats")

    page.get_by_label("Seats", exact=True).fill("2")
    on_pro.press("See the price")
    on_pro.reads("You can undo it until then.")
    page.get_by_role("button", name="Change on").click()
    on_pro.reads("Changing to Pro, billed monthly, 2 seats")
    on_pro.look("billing-scheduled")
    on_pro.press("Undo")
    on_pro.reads("Nothing changes: your plan goes on.")

    page.get_by_label("Yearly, 2 months free").check()
    page.get_by_role("link", name="Switch to yearly billing").click()
    on_pro.reads("Unused time on")
    on_pro.look("change-yearly")
    on_pro.press("Confirm the change")
    on_pro.reads("Billed yearly")


def test_an_owner_uses_a_code_leaves_and_comes_back(on_pro, simulator):
    page = on_pro.page
    offer("LAUNCH20")
    page.get_by_label("Promo code").fill("launch20")
    on_pro.press("Apply")
    on_pro.reads("LAUNCH20 is active: 20% off until")

    page.get_by_role("link", name="Downgrade to Hobby").click()
    on_pro.reads("Then Hobby follows; nothing is deleted.")
    page.get_by_label("Why do you leave?").select_option("unused")
    on_pro.look("cancel")
    page.get_by_role("button", name="Cancel on").click()
    on_pro.reads("Pro ends on")
    on_pro.look("billing-cancelled-at-period-end")
    on_pro.press("Keep Pro")
    on_pro.reads("Nothing changes: your plan goes on.")


def test_a_locked_organization_is_told_what_to_do(on_pro, owner, simulator):
    organization = owner.organizations.get(slug="ha-long")
    customer = organization.billing_account.stripe_customer_id
    simulator.set_card(customer, "decline")
    simulator.advance(customer=customer, by_seconds=35 * 86_400)
    assert wait_for(lambda: _is_locked(organization), seconds=30)

    on_pro.go("General")
    on_pro.press("Save")

    on_pro.reads("Not while an invoice is unpaid")
    on_pro.reads("Pay $")
    on_pro.look("locked")
    on_pro.forgive("403")


def test_an_owner_tries_pro_without_a_card(visitor, owner):
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.look("billing-with-a-trial")

    visitor.press("Try 14 days free")

    visitor.reads("No card is needed.")
    visitor.reads("Trial until")
    visitor.look("billing-on-trial")


def _is_locked(organization):
    return store.current(organization).access == Access.READ_ONLY
