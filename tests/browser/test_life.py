"""The whole life of a subscription by clicking, with the simulator's clock page beside it."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from billing.models import Access, EffectivePlan
from billing.subscription import customers
from config.embedded.processes import wait_for
from tests.billing.test_promo import offer
from tests.factories.orgs import OrganizationFactory, UserFactory

pytestmark = pytest.mark.early

PATIENCE_SECONDS = 30


class Clocks:
    """The simulator's own page, in a second tab, for one customer."""

    def __init__(self, visitor, address):
        self.page = visitor.page.context.new_page()
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.address = address

    def press(self, name):
        self.page.goto(self.address)
        self.page.get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_load_state()

    def card(self, behaviour):
        self.page.goto(self.address)
        self.page.get_by_label("What the bank says").select_option(behaviour)
        self.page.get_by_role("button", name="Set card").click()
        self.page.wait_for_load_state()


@pytest.fixture
def owner(simulator):
    owner = UserFactory.create(name="Lê Thu Hà", email="ha@halong.example")
    OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    return owner


@pytest.fixture
def team(owner):
    return owner.organizations.get(slug="ha-long")


@pytest.fixture
def clocks(visitor, simulator, team):
    customer = customers.ensure(team).stripe_customer_id
    return Clocks(visitor, f"{simulator.base_url}/_sim/?customer={customer}")


@pytest.fixture
def reached(visitor, team):
    """Waits until our rows say so, and shows Billing as it is then."""

    def until(**verdict):
        def holds():
            found = EffectivePlan.objects.select_related("plan").get(organization=team)
            return all(getattr(found, name) == value for name, value in verdict.items())

        assert wait_for(holds, seconds=PATIENCE_SECONDS), verdict
        visitor.go("Billing")

    return until


def test_a_whole_life_from_trial_to_hobby(visitor, owner, team, clocks, reached):
    offer("LAUNCH20")
    visitor.page.emulate_media(reduced_motion="reduce")  # no page fades into Stripe's
    visitor.sign_in(owner)
    visitor.go("Billing")
    visitor.press("Try 14 days free")
    visitor.reads("Trial until")
    visitor.show("life-01-trial")

    subscribes(visitor, reached)
    goes_yearly_with_more_seats_and_a_code(visitor)
    fails_to_pay_is_locked_and_pays(visitor, team, clocks, reached)
    changes_mind_and_leaves(visitor, clocks, reached)


def subscribes(visitor, reached):
    visitor.press("Subscribe to Pro")
    visitor.pay_at_checkout("The payment succeeds.", look=False)
    visitor.reads("You are on Pro")
    visitor.show("life-02-paid")
    reached(source="stripe", access=Access.FULL)
    visitor.show("life-03-pro")


def goes_yearly_with_more_seats_and_a_code(visitor):
    page = visitor.page
    page.get_by_label("Yearly, 2 months free").check()
    page.get_by_role("link", name="Switch to yearly billing").click()
    visitor.reads("Unused time on")
    visitor.show("life-04-yearly-preview")
    visitor.press("Confirm the change")
    visitor.reads("Billed yearly")

    page.get_by_label("Seats", exact=True).fill("4")
    visitor.press("See the price")
    visitor.reads("Charged today")
    visitor.show("life-05-seats-preview")
    visitor.press("Confirm the change")
    visitor.reads("4 seats")

    page.get_by_label("Promo code").fill("launch20")
    visitor.press("Apply")
    visitor.reads("LAUNCH20 is active: 20% off until")
    visitor.show("life-06-promo")


def fails_to_pay_is_locked_and_pays(visitor, team, clocks, reached):
    clocks.card("decline")
    clocks.press("To renewal")
    reached(status="past_due")
    visitor.reads("Payment failed. 3 days left")
    visitor.show("life-07-grace")
    clocks.press("+1 day")
    in_grace(visitor, team)
    visitor.show("life-08-grace-ends")
    clocks.press("To grace end")
    reached(access=Access.READ_ONLY)
    visitor.reads("This workspace is read-only")
    visitor.show("life-09-locked")

    visitor.go("General")
    visitor.press("Save")
    visitor.reads("Not while an invoice is unpaid")
    visitor.show("life-10-refused")
    visitor.forgive("403")

    clocks.card("")
    visitor.page.get_by_role("link", name="Pay $").first.click()
    visitor.page.get_by_role("heading", name="Invoice").wait_for()
    visitor.show("life-11-invoice")
    visitor.page.get_by_role("button", name="Pay $").click()
    expect(visitor.page.get_by_text("paid", exact=True)).to_be_visible()
    visitor.page.goto("/o/ha-long/settings/general/")
    reached(access=Access.FULL, status="active", grace_ends_at=None)
    expect(visitor.page.get_by_role("alert")).to_have_count(0)
    visitor.show("life-12-unlocked")


def in_grace(visitor, team):
    """A day later the countdown has gone on."""
    before = EffectivePlan.objects.get(organization=team).grace_ends_at

    def moved():
        team.billing_account.refresh_from_db()
        return before - team.billing_account.frozen_at < timedelta(days=3)

    assert wait_for(moved, seconds=PATIENCE_SECONDS)
    visitor.go("Billing")
    visitor.reads("Payment failed. 2 days left")


def changes_mind_and_leaves(visitor, clocks, reached):
    page = visitor.page
    page.get_by_label("Seats", exact=True).fill("2")
    visitor.press("See the price")
    visitor.reads("You can undo it until then.")
    visitor.show("life-13-downgrade-preview")
    page.get_by_role("button", name="Change on").click()
    visitor.reads("Changing to Pro, billed yearly, 2 seats")
    visitor.show("life-14-downgrade-scheduled")
    visitor.press("Undo")
    visitor.reads("Nothing changes: your plan goes on.")

    for name, answer in (("cancel", "Keep Pro"), ("cancel-again", "")):
        page.get_by_role("link", name="Downgrade to Hobby").click()
        visitor.reads("Then Hobby follows; nothing is deleted.")
        page.get_by_label("Why do you leave?").select_option("unused")
        visitor.show(f"life-15-{name}")
        page.get_by_role("button", name="Cancel on").click()
        visitor.reads("Pro ends on")
        visitor.show(f"life-16-{name}led")
        if answer:
            visitor.press(answer)
            visitor.reads("Nothing changes: your plan goes on.")
            visitor.go("Billing")

    clocks.press("To renewal")
    reached(source="default", access=Access.FULL)
    visitor.reads("Hobby")
    visitor.show("life-17-hobby")
