"""The pages and calls of owners' verbs: what they show, what they do, what they refuse."""

import re

import pytest
from django.test import Client

from billing.entitlement import store
from billing.models import Source
from orgs.models import Role
from tests.billing.subscribed import on_pro, pass_days
from tests.billing.test_promo import offer
from tests.factories.orgs import OrganizationFactory, api_token_for, member_of, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(stripe):
    return on_pro(stripe, days=10, seats=3)


@pytest.fixture
def owner(organization):
    client = Client()
    client.force_login(owner_of(organization))
    return client


@pytest.fixture
def api(organization):
    secret = api_token_for(owner_of(organization), scopes=["read", "write"])
    return Client(headers={"authorization": f"Bearer {secret}"})


def at(organization, path=""):
    return f"/o/{organization.slug}/settings/billing/{path}"


def call(client, organization, path, **body):
    return client.post(
        f"/api/{path}", {"organization": organization.slug, **body}, content_type="application/json"
    )


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# --- Pages ------------------------------------------------------------------------------------


def test_the_page_shows_the_price_and_its_button_does_it(owner, organization):
    shown = owner.get(at(organization, "change/"), {"seats": 5})
    quote = re.search(r'name="quote" value="([^"]+)"', shown.content.decode())[1]

    done = owner.post(at(organization, "change/"), {"quote": quote})

    charged = organization.invoices.newest_first().first()
    dollars = f"${charged.amount_paid / 100:.2f}"
    assert f"Charged today {dollars}" in text_of(shown)
    assert (done.status_code, done["Location"]) == (303, at(organization))
    assert "Done. You are on Pro." in text_of(owner.get(at(organization)))
    assert store.current(organization).seats == 5


def test_the_plan_table_offers_the_other_interval(owner, organization):
    html = owner.get(at(organization), {"interval": "year"}).content.decode()

    assert "Switch to yearly billing" in html
    assert f"{at(organization, 'change/')}?tier=pro&amp;interval=year" in html


def test_what_is_scheduled_is_shown_and_undone_by_one_button(owner, organization):
    shown = owner.get(at(organization, "change/"), {"seats": 2})
    quote = re.search(r'name="quote" value="([^"]+)"', shown.content.decode())[1]
    owner.post(at(organization, "change/"), {"quote": quote})
    page = text_of(owner.get(at(organization)))
    another = text_of(owner.get(at(organization, "change/"), {"seats": 5}))

    owner.post(at(organization, "keep/"))

    assert "Changing to Pro, billed monthly, 2 seats, on" in page
    assert "You can undo it until then." in text_of(shown)
    assert "will not happen" not in text_of(shown)
    assert "will not happen then: Pro, billed monthly, 2 seats." in another
    assert "Changing to Pro" not in text_of(owner.get(at(organization)))


def test_leaving_by_the_page_and_coming_back(owner, organization):
    shown = text_of(owner.get(at(organization, "cancel/")))

    owner.post(at(organization, "cancel/"), {"reason": "unused", "comment": "a\x00b"})

    assert "Then Hobby follows; nothing is deleted." in shown
    assert "Cancelled. It ends on" in text_of(owner.get(at(organization)))
    assert store.current(organization).ends_at is not None
    owner.post(at(organization, "keep/"))
    assert store.current(organization).ends_at is None


def test_a_promo_code_is_entered_on_the_page(owner, organization):
    offer("LAUNCH20")

    wrong = owner.post(at(organization, "promo/"), {"code": "LAUNCH30"}, follow=True)
    right = owner.post(at(organization, "promo/"), {"code": "LAUNCH20"}, follow=True)

    assert "Check the spelling." in text_of(wrong)
    assert text_of(right).count("LAUNCH20 is active: 20% off until") == 2


def test_a_trial_begins_with_one_button(stripe):
    organization = OrganizationFactory.create()
    client = Client()
    client.force_login(owner_of(organization))
    offered = text_of(client.get(at(organization)))

    client.post(at(organization, "trial/"), {"tier": "pro"})

    assert "Try 14 days free" in offered
    assert "Try 14 days free" not in text_of(client.get(at(organization)))
    assert store.current(organization).source == Source.TRIAL


def test_a_declined_card_is_said_on_the_page(owner, organization, stripe):
    shown = owner.get(at(organization, "change/"), {"seats": 5})
    quote = re.search(r'name="quote" value="([^"]+)"', shown.content.decode())[1]
    stripe.simulator.set_card(stripe.customer_of(organization), "decline")

    answer = owner.post(at(organization, "change/"), {"quote": quote}, follow=True)

    assert "Your card was declined." in text_of(answer)
    assert store.current(organization).seats == 3


def test_stripe_being_away_offers_the_same_confirmation_again(owner, organization, stripe):
    shown = owner.get(at(organization, "change/"), {"seats": 5})
    quote = re.search(r'name="quote" value="([^"]+)"', shown.content.decode())[1]
    stripe.simulator.fault("POST /v1/subscriptions/*", "http_500", times=9)

    away = owner.post(at(organization, "change/"), {"quote": quote})
    stripe.simulator.clear_faults()

    assert away.status_code == 503
    assert quote in away.content.decode()
    assert store.current(organization).seats == 3


@pytest.mark.parametrize(
    "wish", [{"seats": "0"}, {"seats": "x"}, {"interval": "week"}, {"tier": "a/b"}, {"seats": "3"}]
)
def test_a_senseless_wish_leads_back_with_a_sentence(owner, organization, wish):
    answer = owner.get(at(organization, "change/"), wish)

    assert (answer.status_code, answer["Location"]) == (303, at(organization))


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER])
def test_only_those_who_manage_billing_may(organization, role):
    client = Client()
    client.force_login(member_of(organization, role))

    for path in ("change/", "cancel/", "keep/", "promo/", "trial/"):
        assert client.post(at(organization, path)).status_code == 403, path


# --- The API ----------------------------------------------------------------------------------


def test_a_preview_by_the_api_itemizes_and_its_quote_is_charged(api, organization):
    shown = call(api, organization, "v1/billing/preview", seats=5).json()

    done = call(api, organization, "v1/billing/change", quote=shown["quote"]).json()

    charged = organization.invoices.newest_first().first()
    assert shown["today"]["due"] == charged.amount_paid
    assert sum(line["amount"] for line in shown["today"]["lines"]) == shown["today"]["subtotal"]
    assert (done["seats"], done["at_once"]) == (5, True)


def test_an_upgrade_of_who_subscribes_is_done_at_once(api, organization):
    answer = call(api, organization, "subscriptions/upgrade", tier="pro", seats=6)
    again = call(api, organization, "subscriptions/upgrade", tier="pro", seats=6)

    assert answer.status_code == again.status_code == 200
    assert answer.json()["changed"]["seats"] == 6
    assert answer.json()["checkout_url"].endswith(at(organization))
    assert store.current(organization).seats == 6


def test_cancel_and_keep_by_the_api(api, organization):
    ends_at = call(api, organization, "v1/billing/cancel", reason="unused").json()["ends_at"]
    kept = call(api, organization, "v1/billing/keep")

    assert ends_at
    assert kept.status_code == 204
    assert store.current(organization).ends_at is None


def test_a_code_by_the_api(api, organization):
    offer("LAUNCH20")

    refused = call(api, organization, "v1/billing/promo", code="NOPE")
    applied = call(api, organization, "v1/billing/promo", code="LAUNCH20")

    assert (refused.status_code, refused.json()["reason"]) == (422, "unknown")
    assert applied.json()["discount"]["percent_off"] == 20


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"seats": 3}, 409, "nothing_to_change"),
        ({"currency": "vnd"}, 409, "currency_fixed"),
        ({"tier": "gold"}, 422, "unknown_plan"),
        ({"tier": "hobby"}, 422, "unknown_plan"),
        ({"tier": "enterprise"}, 422, "contract_only"),
        ({"seats": 51}, 422, "invalid"),
        ({"seats": "5"}, 422, "invalid"),
        ({"price": "price_1"}, 422, "invalid"),
        ({"quote": "forged"}, 409, "quote_expired"),
    ],
)
def test_refusals_of_the_api_have_a_code(api, organization, body, status, code):
    answer = call(api, organization, "v1/billing/change", **body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_fewer_seats_than_people_are_refused_with_the_number(api, organization):
    member_of(organization)
    member_of(organization)

    answer = call(api, organization, "v1/billing/preview", seats=2)

    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["used"]) == ("seats_in_use", 3)


def test_the_scheduled_seats_come_with_the_renewal(api, organization, stripe):
    done = call(api, organization, "v1/billing/change", seats=1).json()

    shown = call(api, organization, "v1/billing/preview", interval="year").json()
    pass_days(stripe, organization, 23)

    replaced = shown["replaces"]
    assert done["replaces"] is None
    assert [replaced[name] for name in ("tier", "interval", "seats")] == ["pro", "month", 1]
    assert replaced["at"] == done["effective_at"]
    assert not done["at_once"]
    assert store.current(organization).seats == 1
