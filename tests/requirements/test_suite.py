"""Document 004, "Billing & Quotas": its stories, requirements and rules, asked of the product."""

import re
import threading
import time

import pytest
from django.core import mail
from django.db import connection

from billing.gateway import stripe_api
from orgs.models import Role
from quotas.engine import counters
from quotas.models import Rollup
from quotas.reading import rollups
from tests.factories.orgs import OrganizationFactory, UserFactory, api_token_for
from tests.requirements.running import cookies_of, everything_stored, fetch, running

pytestmark = pytest.mark.django_db

GB = 2**30


@pytest.fixture
def _django_db_helper():
    """pytest-django would empty the tables after each test; this installation stays."""


@pytest.fixture(scope="module")
def site(django_db_setup, django_db_blocker, stripe_simulator_process):
    """Stripe delivers to the path that the document names."""
    how = {"webhook": "api/subscriptions/webhook"}
    with django_db_blocker.unblock(), running("suite", stripe_simulator_process, **how) as site:
        yield site


@pytest.fixture
def hobby(site):
    return site.team()


@pytest.fixture
def pro(site):
    return site.team().buy("pro", seats=2)


@pytest.fixture(scope="module")
def onlooker(site):
    """One more on Pro, for tests that change nothing of it."""
    return site.team().buy("pro", seats=2)


def letters_to(team, subject):
    team.site.minute()
    return [
        letter
        for letter in mail.outbox
        if team.person.email in letter.to and re.search(subject, letter.subject)
    ]


# --- User stories -----------------------------------------------------------------------------


def test_an_owner_upgrades_to_pro_to_add_more_than_five_members(hobby):
    for _ in range(4):
        hobby.colleague(Role.MEMBER)

    refused = invite(hobby, "sixth@example.com")
    hobby.buy("pro", seats=6)
    accepted = invite(hobby, "sixth@example.com")

    assert "sixth@example.com" not in refused
    assert re.search(r"5 (seats|members)|seats .* taken|limit", refused), refused[:500]
    assert "sixth@example.com" in accepted


def invite(team, email):
    """The members page after the form was sent."""
    done = team.submit("settings/members/invite/", email=email, role="member")
    if done.status in {302, 303}:
        return team.page("settings/members/")
    return done.text


def test_an_admin_sees_how_much_storage_is_left_before_uploading_large_files(pro):
    pro.usage("consume", "storage", 60 * GB)
    admin = pro.colleague(Role.ADMIN)

    page = pro.page("settings/usage/", person=admin)

    assert re.search(r"Storage.*?60 GB.*?100 GB", page, re.DOTALL)
    assert pro.usage("check", "storage", 40 * GB).body["allowed"]
    assert not pro.usage("check", "storage", 41 * GB).body["allowed"]


# --- Functional requirements ------------------------------------------------------------------


def test_req_bill_001_tiers_are_hobby_pro_and_enterprise(hobby):
    plans = hobby.get("v1/billing/plans")["plans"]

    assert [plan["tier"] for plan in plans] == ["hobby", "pro", "enterprise"]


def test_req_bill_002_upgrades_go_through_stripe_checkout(hobby):
    answer = hobby.post("subscriptions/upgrade", tier="pro", seats=2)

    assert answer.status == 200, answer.text
    url = answer.body["checkout_url"]
    assert url.startswith(hobby.site.simulator.base_url)
    hobby.site.simulator.complete_checkout(hobby.site_session(url)["id"])
    hobby.until(tier="pro", source="stripe")


def test_req_bill_003_invoices_and_payment_are_managed_in_stripes_portal(onlooker):
    opened = onlooker.post("v1/billing/portal")

    assert opened.status == 200, opened.text
    assert onlooker.invoices[0]["number"] in fetch(opened.body["portal_url"]).text


def test_req_bill_004_quotas_for_storage_users_and_ai_queries_are_tracked_in_real_time(pro):
    pro.usage("consume", "storage", 5 * GB)
    pro.usage("consume", "ai_queries", 7)
    pro.colleague(Role.MEMBER)

    used = {found["meter"]: found["used"] for found in pro.get("subscriptions/usage")["meters"]}

    assert (used["storage"], used["ai_queries"], used["members"]) == (5 * GB, 7, 2)


# --- Non-functional requirements --------------------------------------------------------------


def test_usage_tracking_is_atomic(hobby):
    """Sixteen uploads at once at the last byte: exactly what fits is accepted."""
    answers = []

    def upload():
        answers.append(hobby.usage("consume", "storage", GB // 4).status)

    threads = [threading.Thread(target=upload) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200] * 8 + [402] * 8
    assert hobby.reading("storage")["used"] == 2 * GB


def test_no_raw_card_data_is_stored(onlooker):
    """Every text of every table: no card number, no verification code, no street."""
    stored = everything_stored()

    assert "4242424242424242" not in stored
    assert not re.search(r'"(cvc|number|exp)": "\d{3,}"', stored)
    assert onlooker.stripe_id in stored


# --- Business logic and rules -----------------------------------------------------------------


def test_storage_is_a_hard_limit_that_stops_uploads(hobby):
    hobby.usage("consume", "storage", 2 * GB)

    refused = hobby.usage("consume", "storage", 1)

    assert (refused.status, refused.body["code"]) == (402, "quota_exceeded")
    assert "Storage is full" in hobby.page("settings/usage/")


def test_ai_queries_are_a_soft_limit_with_metered_overage(pro):
    pro.usage("consume", "ai_queries", 50_000)

    beyond = pro.usage("consume", "ai_queries", 1500)

    assert beyond.status == 200
    assert beyond.body["overage"] == 1500
    meters = {found["meter"]: found for found in pro.get("subscriptions/usage")["meters"]}
    assert meters["ai_queries"]["cost"]["so_far"] == 60, "$0.40 per 1,000"


def test_three_days_of_grace_for_a_failed_payment_then_the_account_is_locked(pro):
    pro.renew(card="decline")
    grace = pro.until(status="past_due")
    assert grace["access"] == "full"
    assert "Payment failed" in pro.page()
    pro.advance(2.9)
    assert pro.status["access"] == "full"

    pro.advance(0.2)

    locked = pro.until(access="read_only")
    assert locked["next_action"] == "pay_invoice"
    assert len(letters_to(pro, "read-only|locked")) == 1


def test_emergency_mode_is_read_only_until_the_invoice_is_paid(pro):
    pro.usage("consume", "storage", GB)
    pro.renew(card="decline")
    pro.until(status="past_due")
    pro.advance(3.1)
    pro.until(access="read_only")

    refused = pro.usage("consume", "storage", 1)
    assert (refused.status, refused.body["code"]) == (403, "account_locked")
    assert pro.usage("release", "storage", 10).status == 200
    assert pro.open("settings/usage/").status == 200, "reading goes on"
    changed = pro.post("v1/billing/change", seats=3)
    assert (changed.status, changed.body["code"]) == (403, "account_locked")
    assert pro.post("v1/billing/portal").status == 200, "paying goes on"

    pro.site.simulator.set_card(pro.stripe_id, "success")
    (owed,) = [found for found in pro.invoices if found["status"] == "open"]
    stripe_api.client().v1.invoices.pay(owed["id"])
    pro.until(access="full", status="active")
    assert pro.usage("consume", "storage", 1).status == 200


def test_stripe_handles_proration_for_upgrades_in_mid_cycle(pro):
    """Two more seats on day 15: about half a month of two seats, as Stripe computes it."""
    pro.advance(15)
    shown = pro.post("v1/billing/preview", seats=4).body

    done = pro.post("v1/billing/change", quote=shown["quote"])

    assert done.status == 200, done.text
    assert 550 <= shown["today"]["subtotal"] <= 650
    pro.site.settle()
    assert pro.invoices[0]["total"] == shown["today"]["total"]


# --- User interface ---------------------------------------------------------------------------


def test_there_is_a_plans_and_pricing_comparison_matrix(hobby):
    page = hobby.page()

    assert "Compare plans" in page
    for words in ("Hobby", "Pro", "Enterprise", "Storage", "AI queries", "$6"):
        assert words in page


def test_pricing_tables_are_accessible_by_aria_describedby(hobby):
    page = hobby.page()

    described = set(re.findall(r'aria-describedby="(about-\w+)"', page))
    assert described == {"about-hobby", "about-pro", "about-enterprise"}
    assert all(f'id="{name}"' in page for name in described)
    assert '<caption class="vh">' in page


def test_the_usage_dashboard_has_a_progress_bar_for_each_quota(onlooker):
    page = onlooker.page("settings/usage/")

    for meter in ("Storage", "Members", "AI queries"):
        assert meter in page
    assert len(re.findall(r'role="meter" aria-labelledby="meter-\w+"', page)) == 3


def test_banners_say_limit_approaching_and_payment_failed(pro):
    pro.usage("consume", "storage", 93 * GB)
    approaching = pro.page("settings/usage/")
    pro.renew(card="decline")
    pro.until(status="past_due")

    assert "Storage: 93% is used" in approaching
    assert "Payment failed" in pro.page("settings/usage/")


def test_billing_is_a_section_of_organization_settings_with_quick_stats_in_the_sidebar(onlooker):
    onlooker.usage("consume", "storage", 50 * GB)

    page = onlooker.page("settings/members/")

    assert f'href="/o/{onlooker.organization.slug}/settings/billing/"' in page
    assert re.search(r'<meter aria-labelledby="side-storage"[^>]*>50%|50 GB', page)


# --- Data model and API -----------------------------------------------------------------------


def test_the_tables_have_the_documents_names():
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)

    assert {"subscription_plans", "plan_limits", "plan_usage"} <= set(tables)


def test_products_prices_and_customers_live_at_stripe(onlooker):
    simulator = onlooker.site.simulator

    assert {one["name"] for one in simulator.state("product")} >= {"Pro"}
    amounts = {(one["currency"], one["unit_amount"]) for one in simulator.state("price")}
    assert {("usd", 600), ("vnd", 150_000)} <= amounts
    assert onlooker.stripe_id in {one["id"] for one in simulator.state("customer")}


def test_get_usage_answers_owner_admin_and_member_alike(onlooker):
    onlooker.usage("consume", "ai_queries", 3)
    bodies = [
        onlooker.site.call("GET", "/api/subscriptions/usage", api_token_for(person)).body
        for person in (
            onlooker.person,
            onlooker.colleague(Role.ADMIN),
            onlooker.colleague(Role.MEMBER),
        )
    ]

    assert {body["plan"] for body in bodies} == {"pro"}
    assert all(len(body["meters"]) == 3 for body in bodies)


def test_post_upgrade_changes_whoever_subscribes_already(pro):
    answer = pro.post("subscriptions/upgrade", tier="pro", seats=5)

    assert answer.status == 200, answer.text
    assert answer.body["changed"]["seats"] == 5


def test_post_webhook_takes_signed_events_alone(onlooker):
    url = f"{onlooker.site.url}/api/subscriptions/webhook"

    assert fetch(url, data=b'{"object": "event"}').status == 400
    delivered = onlooker.site.simulator.events("checkout.session.completed")[-1]["deliveries"]
    assert [attempt["status"] for one in delivered for attempt in one["attempts"]] == [200]


# --- Integration, security, resilience --------------------------------------------------------


def test_satellites_count_by_internal_api_calls_and_are_refused_at_that_layer(hobby):
    """Without a service token nothing is counted; with one the refusal is a sentence."""
    body = {"organization": str(hobby.organization.pk), "meter": "storage", "amount": 1}
    stranger = hobby.site.call("POST", "/api/v1/usage/check", "no-such-token", body)
    hobby.usage("consume", "storage", 2 * GB)
    refused = hobby.usage("consume", "storage", 1)

    assert stranger.status == 401
    assert "Storage" in refused.body["detail"]
    assert "/settings/billing/" in refused.body["upgrade_url"]


def test_only_the_owner_reaches_billing_settings_and_checkout(onlooker):
    admin, member = onlooker.colleague(Role.ADMIN), onlooker.colleague(Role.MEMBER)
    foreigner = OrganizationFactory.create().memberships.get().user

    assert onlooker.open("settings/billing/").status == 200
    for person in (admin, member):
        assert onlooker.open("settings/billing/", person=person).status == 403
        token = api_token_for(person)
        for verb, body in {"checkout": {"tier": "pro"}, "preview": {}, "portal": {}}.items():
            asked = onlooker.site.call("POST", f"/api/v1/billing/{verb}", token, body)
            assert asked.status == 403, (verb, asked.text)
    assert onlooker.open("settings/billing/", person=foreigner).status == 404


def test_stripe_timeouts_are_recovered_from_gracefully(hobby):
    """The answer says try again; the second try finds the same session, and one is paid."""
    hobby.site.settle()
    hobby.site.simulator.fault("POST /v1/checkout/sessions", "http_500", times=2)
    away = hobby.post("v1/billing/checkout", tier="pro", seats=1)
    hobby.site.simulator.clear_faults()

    again = hobby.post("v1/billing/checkout", tier="pro", seats=1)

    assert (away.status, away.body["code"]) == (503, "stripe_unavailable")
    assert again.status == 200
    assert hobby.open("settings/usage/").status == 200


def eventually(look):
    deadline = time.monotonic() + 20
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


# --- Performance, globalization, analytics ----------------------------------------------------


def test_quota_counters_are_cached_in_redis_and_usage_is_aggregated_later(pro):
    pro.usage("consume", "storage", GB)
    pro.reading("storage")

    kept = eventually(lambda: counters.stored(pro.organization.pk).get(("storage", "")))
    assert kept.used == GB
    rollups.catch_up(wait=True)
    added = Rollup.objects.filter(organization=pro.organization, meter="storage", grain="hour")
    assert sum(added.values_list("added", flat=True)) == GB


def test_usd_and_vnd_are_sold_and_tax_is_delegated_to_stripe(site):
    team = site.team()

    session = team.checkout("pro", seats=2, currency="vnd")
    site.simulator.complete_checkout(session["id"])
    team.until(tier="pro")

    assert session["automatic_tax"]["enabled"] is True
    (invoice,) = team.invoices
    assert (invoice["currency"], invoice["subtotal"]) == ("vnd", 300_000)
    assert "₫150,000" in team.page()


def as_staff(site, path):
    """A page of the operators, signed in as one of them."""
    staff = UserFactory.create(is_staff=True, is_superuser=True)
    jar = cookies_of(staff)
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    answer = fetch(f"{site.url}/admin/{path}", headers={"Cookie": cookie})
    assert answer.status == 200, answer.text[:300]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def test_churn_and_upgrade_conversion_are_tracked_for_system_admins(site, settings):
    """Who looked at the plans, who ordered, who paid; and MRR that came and went."""
    settings.ADMIN_REQUIRES_MFA = False
    team = site.team()
    team.page()
    team.buy("pro", seats=3)

    page = as_staff(site, "numbers/")

    for words in ("MRR", "churn", "Upgrade", "USD"):
        assert re.search(words, page, re.IGNORECASE), words
    assert re.search(r"USD \$\d+\.\d\d", page), "per currency, never mixed"


def test_high_usage_organizations_are_listed_as_sales_leads(site, settings):
    settings.ADMIN_REQUIRES_MFA = False
    team = site.team()
    team.usage("consume", "storage", 2 * GB - 1)

    page = as_staff(site, "leads/")

    assert re.search(rf"{team.organization.slug} hobby Storage .*? pro", page)


def test_add_on_packs_are_for_sale(pro):
    """“+10GB Storage”, for $2 a month beside the plan."""
    offered = pro.get("v1/billing/packs")["packs"]
    terms = ("storage_10gb", "month", "usd", 200, 10 * GB)
    names = ("pack", "interval", "currency", "amount", "units")
    assert terms in [tuple(pack[name] for name in names) for pack in offered]

    bought = pro.post("v1/billing/change", addons={"storage_10gb": 2})

    assert bought.status == 200, bought.text
    pro.site.settle()
    assert pro.reading("storage")["limit"] == 120 * GB
