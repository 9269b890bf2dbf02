"""Pages as people use them: toggles, menus, without JavaScript, by keyboard, and waiting."""

import pytest
from django.db import connections, transaction

from billing.gateway import locks
from billing.models import BillingAccount
from orgs.models import Role
from tests.browser.visitor import Visitor
from tests.factories.orgs import InvitationFactory, OrganizationFactory, UserFactory, member_of

pytestmark = pytest.mark.early

SUCCEEDS = "The payment succeeds."


@pytest.fixture
def owner(simulator):
    owner = UserFactory.create(name="Lê Thu Hà", email="ha@halong.example")
    team = OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    member_of(team, Role.ADMIN)
    member_of(team)
    InvitationFactory.create(organization=team)
    return owner


def test_every_page_of_an_organization_is_clean_in_every_look(visitor, owner):
    visitor.sign_in(owner)

    for name in ("General", "Members", "Billing", "Pricing", "API keys", "Audit log", "Data"):
        visitor.go(name)
        visitor.look(name.lower().replace(" ", "-"))


@pytest.mark.parametrize(
    "path",
    [
        "/profile/",
        "/organizations/new/",
        "/accounts/email/",
        "/accounts/password/change/",
        "/accounts/2fa/",
        "/o/ha-long/settings/billing/return/?session_id=unknown",
        "/o/ha-long/settings/billing/why/",
    ],
)
def test_every_page_of_a_person_is_clean_in_every_look(visitor, owner, path):
    visitor.sign_in(owner)

    visitor.page.goto(path)

    visitor.look(path.strip("/").partition("?")[0].replace("/", "-"))
    visitor.forgive("404")


@pytest.mark.parametrize("path", ["/accounts/signup/", "/accounts/password/reset/"])
def test_every_page_before_the_sign_in_is_clean_in_every_look(visitor, path):
    visitor.page.goto(path)

    visitor.look(path.strip("/").replace("/", "-"))


def test_a_toggle_changes_the_prices_and_the_address_but_not_the_page(visitor, owner):
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.page.evaluate("window.stayed = true")

    visitor.page.get_by_label("Yearly, 2 months free").check()
    visitor.reads("per seat a year")
    visitor.page.get_by_label("VND").check()

    visitor.reads("₫1,500,000")
    assert visitor.page.evaluate("window.stayed") is True
    assert visitor.page.url.endswith("/settings/billing/?interval=year&currency=vnd")
    visitor.page.reload()
    visitor.reads("₫1,500,000")


def test_without_javascript_prices_change_and_checkout_opens(chrome, live_server, owner):
    context = chrome.new_context(base_url=live_server.url, java_script_enabled=False)
    visitor = Visitor(context.new_page())
    visitor.sign_in(owner)
    visitor.go("Billing")

    visitor.page.get_by_label("VND").check()
    visitor.press("Update prices")
    visitor.reads("₫150,000")
    visitor.press("Upgrade to Pro")

    visitor.page.get_by_role("heading", name="Order summary").wait_for()
    context.close()


def test_the_keyboard_alone_reaches_the_content_and_opens_the_menus(visitor, owner):
    visitor.sign_in(owner)
    keyboard = visitor.page.keyboard

    keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.textContent") == "Skip to content"
    keyboard.press("Tab")
    keyboard.press("Enter")
    visitor.page.get_by_role("link", name="New team").wait_for()
    keyboard.press("Escape")

    assert visitor.page.get_by_role("link", name="New team").is_hidden()
    assert visitor.page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_the_switcher_changes_the_organization(visitor, owner):
    visitor.sign_in(owner)

    visitor.page.get_by_label("Organization: Hạ Long Studio").click()
    visitor.look("switcher")
    visitor.page.get_by_role("button", name="Lê Thu Hà Personal").click()

    visitor.page.get_by_label("Organization: Lê Thu Hà").wait_for()


def test_language_and_theme_are_chosen_in_the_persons_menu(visitor, owner):
    visitor.sign_in(owner)

    visitor.page.get_by_label("Your account: Lê Thu Hà").click()
    visitor.look("person-menu")
    visitor.press("Dark")
    assert visitor.page.locator("html").get_attribute("data-theme") == "dark"
    visitor.page.get_by_label("Your account: Lê Thu Hà").click()
    visitor.page.locator("button[lang=vi]").click()

    visitor.page.get_by_role("navigation", name="Cài đặt").wait_for()
    visitor.page.get_by_role("link", name="Thanh toán", exact=True).click()
    visitor.page.get_by_role("button", name="Nâng cấp lên Pro").wait_for()
    visitor.look("billing-vietnamese")


def test_the_return_page_waits_while_another_worker_has_the_customer(visitor, owner, simulator):
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.press("Upgrade to Pro")
    visitor.page.get_by_role("heading", name="Order summary").wait_for()
    simulator.set_delivery("hold")
    customer = BillingAccount.objects.get(organization__slug="ha-long").stripe_customer_id or ""

    with transaction.atomic():
        assert locks.try_customer(customer)
        visitor.pay_at_checkout(SUCCEEDS)
        visitor.reads("Payment received, switching you to Pro")
        visitor.look("return-pending")
    visitor.reads("You are on Pro")

    assert connections["default"].in_atomic_block is False


def test_the_back_button_shows_nothing_private_after_signing_out(visitor, owner):
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.page.get_by_label("Your account: Lê Thu Hà").click()
    visitor.press("Sign out")
    visitor.page.get_by_role("heading", name="Sign in").wait_for()

    visitor.page.go_back()
    visitor.page.get_by_role("heading", name="Sign in").wait_for()

    assert visitor.page.get_by_text("Current plan").count() == 0


def test_a_refusal_of_a_fragment_becomes_a_toast(visitor, owner):
    visitor.sign_in(owner)
    visitor.go("Billing")
    team = owner.memberships.get(organization__slug="ha-long").organization
    member_of(team, Role.OWNER)
    owner.memberships.filter(organization=team).update(role=Role.MEMBER)

    visitor.page.get_by_label("Yearly, 2 months free").check()

    visitor.page.locator("#toasts").get_by_text("Your role does not allow this.").wait_for()
    visitor.forgive("403")
