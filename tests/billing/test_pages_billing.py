"""Settings > Billing, read over HTTP; Stripe is not running while these pages are drawn."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import Invoice
from orgs.models import Role
from tests.billing import selling
from tests.factories.orgs import (
    OrganizationFactory,
    UserFactory,
    member_of,
    owner_of,
    personal_organization,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def suite_on_sale():
    selling.put_on_sale()


@pytest.fixture
def team():
    return OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long")


@pytest.fixture
def owner(client, team):
    client.force_login(owner_of(team))
    return client


def at(name, **kwargs):
    return reverse(f"billing:{name}", kwargs={"slug": "ha-long"} | kwargs)


def text_of(response):
    """What a reader sees, without tags, on one line."""
    html = re.sub(r"<(script|style).*?</\1>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_free_organization_is_offered_the_upgrade(owner):
    text = text_of(owner.get(at("settings")))

    assert "Hobby Free" in text
    assert "Upgrade to Pro" in text
    assert "Talk to sales" in text
    assert "No invoices yet" in text


def test_the_upgrade_button_posts_the_terms_that_are_shown(owner):
    html = owner.get(at("settings"), {"interval": "year", "currency": "vnd"}).content.decode()

    [form] = re.findall(rf'<form[^>]*action="{at("checkout")}".*?</form>', html, flags=re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', form))
    assert fields["tier"] == "pro"
    assert (fields["interval"], fields["currency"]) == ("year", "vnd")
    assert fields["seats"] == "1"


def test_seats_are_suggested_for_everybody_who_is_in_already(owner, team):
    for _ in range(3):
        member_of(team)

    html = owner.get(at("settings")).content.decode()

    assert re.search(r'name="seats"[^>]*max="50"[^>]*value="4"', html)


def test_a_paying_organization_reads_its_plan_renewal_card_and_invoices(owner, team):
    selling.pays(team)
    selling.invoice(team)

    text = text_of(owner.get(at("settings")))

    assert "Pro $6.00 per seat a month, 10 seats" in text
    assert "Billed monthly in USD. Renews on Dec 4, 2026." in text
    assert "Period Nov 4, 2026 to Dec 3, 2026." in text
    assert "Visa ending in 4242 expires 08/2027" in text
    assert "LL-2026-0001 Nov 4, 2026 Pro, 10 seats" in text
    assert "Paid $60.00 PDF" in text
    assert "Your plan" in text
    assert "Downgrade to Hobby" in text
    assert "Upgrade to Pro" not in text


def test_days_are_the_organizations_own(owner, team):
    team.time_zone = "America/Los_Angeles"
    team.save()
    selling.pays(team)

    text = text_of(owner.get(at("settings")))

    assert "Renews on Dec 3, 2026." in text


def test_the_plan_table_is_a_fragment_of_its_own_and_keeps_the_pages_address(owner):
    terms = {"interval": "year", "currency": "vnd"}
    response = owner.get(at("plans"), terms, headers={"HX-Request": "true"})

    text = text_of(response)
    assert "<html" not in response.content.decode()
    assert "₫1,500,000 per seat a year" in text
    assert "Prices in VND" in text
    assert response["HX-Replace-Url"] == f"{at('settings')}?interval=year&currency=vnd"


@pytest.mark.parametrize("query", ["interval=week", "currency=eur", "currency=%3Cscript%3E"])
def test_terms_that_are_not_sold_fall_back_to_those_that_are(owner, query):
    text = text_of(owner.get(f"{at('settings')}?{query}"))

    assert "$6 per seat a month" in text


def test_a_customer_who_has_paid_in_one_currency_is_offered_no_other(owner, team):
    selling.pays(team)
    team.billing_account.currency = "usd"
    team.billing_account.save()

    html = owner.get(at("settings"), {"currency": "vnd"}).content.decode()

    assert 'name="currency"' not in html, "one is no choice"
    assert "$6" in html


def test_a_plan_for_teams_alone_is_not_shown_to_a_personal_organization(client):
    person = UserFactory.create()
    client.force_login(person)
    slug = personal_organization(person).slug

    text = text_of(client.get(at("settings", slug=slug)))

    assert "Upgrade to Pro" in text
    assert "Talk to sales" not in text


def test_a_server_without_stripe_says_so_and_sells_nothing(owner, settings):
    settings.STRIPE_SECRET_KEY = ""

    response = owner.get(at("settings"))

    text = text_of(response)
    assert "Billing is not set up on this server" in text
    assert "Not for sale yet" in text
    assert at("checkout") not in response.content.decode()


def test_an_invoice_says_what_became_of_it(owner, team):
    selling.pays(team)
    selling.invoice(team, amount_refunded=6000)
    selling.invoice(team, amount_refunded=100)
    selling.invoice(team, attempt_count=2)
    selling.unpaid(team)
    selling.invoice(team, status=Invoice.Status.VOID)
    selling.invoice(team, status=Invoice.Status.DRAFT, number="LL-DRAFT")

    text = text_of(owner.get(at("settings")))

    said = re.findall(r"(Refunded|Partly refunded|Paid on retry|Payment failed|Void) \$", text)
    assert said == ["Void", "Payment failed", "Paid on retry", "Partly refunded", "Refunded"]
    assert "LL-DRAFT" not in text


def test_the_page_costs_the_same_queries_however_many_invoices_there_are(
    owner, team, django_assert_max_num_queries
):
    selling.pays(team)
    for _ in range(30):
        selling.invoice(team)
    owner.get(at("settings"))

    with django_assert_max_num_queries(40) as queries:
        response = owner.get(at("settings"))

    assert response.status_code == 200
    assert not [query for query in queries.captured_queries if "djstripe" in query["sql"]]


def test_the_fragment_costs_less_than_the_page(owner, team, django_assert_max_num_queries):
    selling.pays(team)

    with django_assert_max_num_queries(11):
        owner.get(at("plans"), headers={"HX-Request": "true"})


def test_all_invoices_leave_as_csv_and_no_cell_is_a_formula(owner, team):
    selling.pays(team)
    selling.invoice(team, lines=[{"description": "=HYPERLINK(1)"}])
    selling.invoice(team, currency="vnd", subtotal=-5, total=150_000, tax=0)

    response = owner.get(at("invoices-csv"))

    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert response["Content-Disposition"] == 'attachment; filename="invoices-ha-long.csv"'
    assert [row["total"] for row in rows] == ["150000", "60.00"]
    assert rows[0]["subtotal"] == "-5"
    assert rows[1]["covers"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("name", ["settings", "plans", "invoices-csv"])
def test_what_a_billing_page_says_is_never_stored(owner, name):
    response = owner.get(at(name))

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER])
@pytest.mark.parametrize("name", ["settings", "plans", "invoices-csv", "return", "return-state"])
def test_only_billing_roles_read_billing(client, team, role, name):
    client.force_login(member_of(team, role))

    response = client.get(at(name))

    assert response.status_code == 403


@pytest.mark.parametrize("name", ["checkout", "portal"])
def test_only_billing_roles_act_on_billing(client, team, name):
    client.force_login(member_of(team, Role.ADMIN))

    response = client.post(at(name), {"tier": "pro", "interval": "month", "currency": "usd"})

    assert response.status_code == 403


def test_a_stranger_learns_nothing_of_the_organization(client, team):
    client.force_login(UserFactory.create())

    response = client.get(at("settings"))

    assert response.status_code == 404
    assert team.name not in response.content.decode()


def test_the_short_address_leads_to_the_current_organization(owner, team):
    assert owner.get("/settings/billing/")["Location"] == at("settings")
    assert owner.get("/")["Location"] == at("settings")


def test_the_front_door_of_a_member_is_a_page_that_members_may_see(client, team):
    client.force_login(member_of(team))

    response = client.get("/", follow=True)

    assert response.status_code == 200
    assert response.redirect_chain[-1][0] == reverse("orgs:members", kwargs={"slug": team.slug})


def test_vietnamese_readers_get_vietnamese_words_money_and_dates(owner, team):
    selling.pays(team)
    owner.post("/preferences/language/", {"language": "vi"})

    response = owner.get(at("settings"), {"currency": "vnd"})

    text = text_of(response)
    assert '<html lang="vi"' in response.content.decode()
    assert "Thanh toán" in text
    assert "150.000 ₫ mỗi chỗ một tháng" in text
    assert "4 thg 12, 2026" in text


def test_a_plan_whose_payment_failed_says_so_before_its_subscription_does(owner, team):
    """Stripe tells of the invoice first."""
    ends_at = timezone.now() + timedelta(days=3)
    selling.pays(team, reason="payment_failed_grace", grace_ends_at=ends_at, valid_until=ends_at)

    plan = text_of(owner.get(at("settings"))).partition("Current plan")[2]

    assert plan.split()[:2] == ["Payment", "failed"]
