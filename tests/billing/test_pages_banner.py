"""The one banner: what happened, until when, what still works, what to do."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import translation

from billing.models import Access, BillingAccount
from billing.presentation.formats import time_left
from orgs.models import Role
from tests.billing import selling
from tests.factories.orgs import OrganizationFactory, UserFactory, member_of, owner_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 5, 7, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def suite_on_sale():
    selling.put_on_sale()


@pytest.fixture
def team():
    owner = UserFactory.create(name="Lê Thu Hà")
    team = OrganizationFactory.create(slug="ha-long", owner=owner)
    team.time_zone = "Asia/Ho_Chi_Minh"
    team.save()
    return team


def stand_still(organization, instant):
    BillingAccount.objects.filter(organization=organization).update(frozen_at=instant)


def banner_for(client, user, organization):
    client.force_login(user)
    url = reverse("orgs:members", kwargs={"slug": organization.slug})
    html = client.get(url).content.decode()
    found = html.partition('id="banner"')[2].partition("</section>")[0]
    return found.replace("&nbsp;", " ")


def test_a_healthy_organization_has_no_banner(client, team):
    selling.pays(team)

    assert banner_for(client, owner_of(team), team) == ""


def test_grace_tells_who_can_pay_what_is_owed_and_how_long_there_is(client, team):
    deadline = NOW + timedelta(hours=43)
    selling.pays(team, status="past_due", grace_ends_at=deadline, valid_until=deadline)
    selling.unpaid(team, next_payment_attempt=NOW + timedelta(days=1))
    stand_still(team, NOW)

    html = banner_for(client, owner_of(team), team)

    assert "Payment failed. 1 day 19 hours left" in html
    assert "Your bank declined the Visa ending in 4242 for $63.55." in html
    assert "Pay by Dec 7, 09:12 GMT+07:00 or the workspace becomes read-only." in html
    assert "We try the card again on Dec 6, 2026." in html
    assert "Pay $63.55" in html
    assert 'href="https://stripe.example/pay"' in html


def test_grace_tells_who_cannot_pay_whom_to_ask(client, team):
    deadline = NOW + timedelta(hours=43)
    selling.pays(team, status="past_due", grace_ends_at=deadline, valid_until=deadline)
    selling.unpaid(team)
    stand_still(team, NOW)

    html = banner_for(client, member_of(team, Role.ADMIN), team)

    assert "Ask Lê Thu Hà to update the card." in html
    assert "stripe.example" not in html
    assert "$63.55" not in html


def test_where_grace_ends_with_the_default_plan_nobody_is_threatened_with_a_lock(
    client, team, settings, catalog_file
):
    catalog_file.edit('at_end = "lock"', 'at_end = "downgrade"')
    settings.CATALOG = catalog_file.name
    deadline = NOW + timedelta(hours=43)
    selling.pays(team, status="past_due", grace_ends_at=deadline, valid_until=deadline)
    selling.unpaid(team)
    stand_still(team, NOW)

    told = banner_for(client, owner_of(team), team)
    asked = banner_for(client, member_of(team, Role.ADMIN), team)

    assert "Pay by Dec 7, 09:12 GMT+07:00 or the plan changes to Hobby." in told
    assert "The plan changes to Hobby on Dec 7, 09:12 GMT+07:00." in asked
    assert "read-only" not in told + asked


def test_a_locked_organization_reads_how_to_unlock(client, team):
    selling.pays(team, status="past_due", access=Access.READ_ONLY)
    selling.unpaid(team)

    html = banner_for(client, owner_of(team), team)

    assert "This workspace is read-only" in html
    assert "The $63.55 invoice from Nov 4, 2026 is still unpaid." in html
    assert "You can read, download and export everything." in html
    assert "Paying unlocks the workspace within a minute." in html


def test_the_most_severe_state_is_the_one_that_is_shown(client, team):
    soon = NOW + timedelta(hours=43)
    selling.pays(team, access=Access.READ_ONLY, grace_ends_at=soon, ends_at=soon, is_beta=True)

    html = banner_for(client, owner_of(team), team)

    assert html.count("<h2>") == 1
    assert "This workspace is read-only" in html


def test_a_scheduled_end_can_be_undone_by_who_pays(client, team):
    selling.pays(team, ends_at=selling.END)

    html = banner_for(client, owner_of(team), team)

    assert "Pro ends on Dec 4, 2026" in html
    assert "Keep Pro" in html
    assert banner_for(client, member_of(team), team) == ""


def test_beta_names_the_reason_to_system_admins_alone(client, team):
    selling.pays(team, is_beta=True)
    admin = member_of(team)
    admin.is_staff = True
    admin.save()

    assert "nothing is charged" in banner_for(client, owner_of(team), team)
    assert "Stripe is not connected" not in banner_for(client, owner_of(team), team)
    assert "Stripe is not connected" in banner_for(client, admin, team)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (43 * 3600, "1 day 19 hours"),
        (48 * 3600, "2 days"),
        (24 * 3600 - 1, "23 hours 59 minutes"),
        (3600, "1 hour"),
        (61, "1 minute"),
        (59, "less than a minute"),
        (-5, "less than a minute"),
    ],
)
def test_a_countdown_is_never_rounded_up(seconds, words):
    with translation.override("en"):
        left = time_left(NOW + timedelta(seconds=seconds), NOW)

    assert left == words
