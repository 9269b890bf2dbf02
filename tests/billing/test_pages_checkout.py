"""To Checkout and back, where Stripe is away or the person may not."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from billing.models import BillingAccount, CheckoutIntent
from billing.presentation import return_page
from billing.subscription.checkout import Settled
from orgs import members
from orgs.models import Role
from tests.billing import selling
from tests.factories.orgs import OrganizationFactory, UserFactory, member_of, owner_of

pytestmark = pytest.mark.django_db

ORDER = {"tier": "pro", "interval": "month", "currency": "usd", "seats": "3"}
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def suite_on_sale(settings):
    """With nobody where Stripe should be, whichever tests ran before and started a simulator."""
    settings.STRIPE_SIMULATOR_URL = "http://127.0.0.1:9"
    selling.put_on_sale()


@pytest.fixture
def team():
    return OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long")


@pytest.fixture
def owner(client, team):
    client.force_login(owner_of(team))
    return client


def at(name):
    return reverse(f"billing:{name}", kwargs={"slug": "ha-long"})


def paid_session(organization, *, ago=timedelta()):
    """Paid as far as we know, not yet heard of as a subscription; Stripe cannot be asked."""
    return CheckoutIntent.objects.create(
        organization=organization,
        price=selling.plan("pro").prices.on_sale().for_terms("month", "usd").get(),
        seats=1,
        state=CheckoutIntent.State.COMPLETED,
        session_id=f"cs_test_{organization.slug}",
        completed_at=timezone.now() - ago,
    )


def test_stripe_being_away_is_a_page_that_offers_the_same_order_again(owner):
    response = owner.post(at("checkout"), ORDER)

    html = response.content.decode()
    assert response.status_code == 503
    assert response["Retry-After"] == "30"
    assert "no-store" in response["Cache-Control"]
    [form] = re.findall(rf'<form[^>]*action="{at("checkout")}".*?</form>', html, flags=re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert ORDER.items() <= fields.items()
    assert "Nothing was charged" in html


def test_the_portal_being_away_offers_a_retry_too(owner, team):
    selling.pays(team)

    response = owner.post(at("portal"), {"flow": "payment_method_update"})

    assert response.status_code == 503
    assert "Try again" in response.content.decode()


def test_the_portal_of_somebody_who_never_paid_leads_back_with_a_sentence(owner):
    response = owner.post(at("portal"), follow=True)

    assert response.redirect_chain == [(at("settings"), 303)]
    assert "There is nothing to manage at Stripe yet." in response.content.decode()


@pytest.mark.parametrize(
    "change",
    [
        {"tier": "platinum"},
        {"tier": "hobby"},
        {"tier": "enterprise"},
        {"tier": ""},
        {"interval": "week"},
        {"currency": "eur"},
        {"currency": "USD; --"},
        {"seats": "0"},
        {"seats": "51"},
        {"seats": "-1"},
        {"seats": "1e9"},
    ],
)
def test_an_order_that_was_tampered_with_is_refused_before_stripe_is_asked(owner, change):
    response = owner.post(at("checkout"), ORDER | change)

    assert response.status_code == 422
    assert not CheckoutIntent.objects.exists()


def test_a_second_subscription_is_refused_with_a_sentence(owner, team):
    selling.pays(team)

    response = owner.post(at("checkout"), ORDER, follow=True)

    assert response.redirect_chain == [(at("settings"), 303)]
    assert "already has a subscription" in response.content.decode()


def test_a_get_starts_nothing(owner):
    assert owner.get(at("checkout")).status_code == 405
    assert owner.get(at("portal")).status_code == 405


def test_the_return_page_says_that_it_waits_and_asks_again(owner, team):
    intent = paid_session(team)

    response = owner.get(at("return"), {"session_id": intent.session_id})

    html = response.content.decode()
    assert "Payment received, switching you to Pro" in html
    assert "You can leave this page." in html
    assert f'hx-get="{at("return-state")}?session_id={intent.session_id}&amp;asked=1"' in html
    assert '<noscript><meta http-equiv="refresh"' in html
    assert "no-store" in response["Cache-Control"]


def test_the_page_stops_asking_after_a_minute(owner, team):
    intent = paid_session(team)

    query = {"session_id": intent.session_id, "asked": return_page.POLLS}
    html = owner.get(at("return-state"), query, headers=HTMX).content.decode()

    assert return_page.POLLS * return_page.POLL_SECONDS == 60
    assert "hx-get" not in html
    assert "Check again" in html


@pytest.mark.parametrize("asked", ["-1", "x", "", "9" * 30, "٣"])
def test_nonsense_about_the_asking_ends_the_asking(owner, team, asked):
    intent = paid_session(team)

    query = {"session_id": intent.session_id, "asked": asked}
    response = owner.get(at("return-state"), query, headers=HTMX)

    assert response.status_code == 200
    assert "hx-get" not in response.content.decode()


def test_after_five_minutes_the_page_says_what_to_do_and_whom_to_ask(owner, team):
    intent = paid_session(team, ago=timedelta(minutes=6))

    html = owner.get(at("return"), {"session_id": intent.session_id}).content.decode()

    assert "This takes longer than it should" in html
    assert "Please do not pay again." in html
    assert 'href="mailto:billing@example.com"' in html
    assert "hx-trigger" not in html.partition('id="return-state"')[2]


def test_a_payment_that_is_on_is_announced_without_asking_again(owner, team):
    intent = paid_session(team)
    selling.pays(team)

    html = owner.get(at("return"), {"session_id": intent.session_id}).content.decode()

    assert "You are on Pro" in html
    assert "hx-get" not in html


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("awaiting_bank", "Pro switches on when it arrives."),
        ("open", "The payment was not finished"),
        ("expired", "The payment was not finished"),
    ],
)
def test_every_other_end_of_a_session_has_its_own_words(state, sentence):
    visit = return_page.Visit(slug="ha-long", session_id="cs_1", asked=0, support="mailto:a@b.c")

    with translation.override("en"):
        outcome = return_page.of(Settled(state=state, plan=selling.plan("pro")), visit)

    assert sentence in f"{outcome.title} {outcome.text}"
    assert not outcome.poll_url


@pytest.mark.parametrize("name", ["return", "return-state"])
@pytest.mark.parametrize("session_id", ["", "cs_unknown", "\x00", "'; --", "x" * 5000])
def test_a_session_nobody_knows_is_not_found(owner, name, session_id):
    assert owner.get(at(name), {"session_id": session_id}).status_code == 404


def test_another_organizations_session_is_not_found(owner):
    other = paid_session(OrganizationFactory.create())

    response = owner.get(at("return"), {"session_id": other.session_id})

    assert response.status_code == 404


def test_who_was_demoted_meanwhile_may_not_see_the_return_page(client, team):
    intent = paid_session(team)
    buyer = member_of(team, Role.OWNER)
    client.force_login(buyer)
    assert client.get(at("return"), {"session_id": intent.session_id}).status_code == 200

    membership = team.memberships.get(user=buyer)
    members.change_role(membership, Role.MEMBER, actor=owner_of(team))

    assert client.get(at("return"), {"session_id": intent.session_id}).status_code == 403
    assert BillingAccount.objects.filter(organization=team).count() == 1


def test_leaving_checkout_is_a_quiet_note(owner):
    html = owner.get(at("settings"), {"checkout": "cancelled"}).content.decode()

    assert "You left the payment page. Nothing was charged." in html


def test_a_stranger_cannot_return_into_an_organization(client, team):
    client.force_login(UserFactory.create())

    assert client.get(at("return"), {"session_id": "cs_1"}).status_code == 404
