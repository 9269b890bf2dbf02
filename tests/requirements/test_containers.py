"""Document 003, "Stripe Billing Integration" of a container host: its sentences, asked of it."""

import re
from datetime import datetime
from urllib.parse import urlencode

import pytest
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from billing import tasks
from billing.gateway import stripe_api
from orgs.models import Role
from quotas.notices import delivery, endpoints
from tests.factories.orgs import api_token_for
from tests.factories.quotas import SatelliteFactory
from tests.quotas import receiver
from tests.requirements.running import everything_stored, fetch, running

pytestmark = pytest.mark.django_db

GB = 2**30
HOURS = 3600
TIERS = ("free", "pro", "enterprise")


@pytest.fixture
def _django_db_helper():
    """pytest-django would empty the tables after each test; this installation stays."""


@pytest.fixture(scope="module")
def site(django_db_setup, django_db_blocker, stripe_simulator_process):
    with django_db_blocker.unblock(), running("containers", stripe_simulator_process) as site:
        yield site


@pytest.fixture
def host(site):
    """An account on Free."""
    return site.team()


@pytest.fixture
def pro(site):
    return site.team().buy("pro")


@pytest.fixture(scope="module")
def onlooker(site):
    """One more on Pro, for tests that change nothing of it."""
    return site.team().buy("pro")


@pytest.fixture
def enterprise(pro):
    changed = pro.post("v1/billing/change", tier="enterprise")
    assert changed.status == 200, changed.text
    pro.until(tier="enterprise")
    return pro


def starts(account, containers=1):
    return account.usage("consume", "containers", containers)


def allows(account, meter, amount):
    found = account.usage("check", meter, amount).body
    return found["allowed"]


def limits_of(account):
    found = account.site.call(
        "GET",
        f"/api/v1/organizations/{account.organization.slug}/entitlements",
        account.site.service_token,
    ).body
    return {meter: limit["amount"] for meter, limit in found["limits"].items()}, found["features"]


def portal_of(account, **how):
    opened = account.post("v1/billing/portal", **how)
    assert opened.status == 200, opened.text
    return opened.body["portal_url"]


def in_the_portal(url, **form):
    done = fetch(url, data=urlencode(form).encode())
    assert done.status in {302, 303}, done.text[-600:]


@pytest.fixture
def listener(settings):
    """The container host's own program, waiting for notices."""
    settings.NOTICES_TO_LOOPBACK = True
    with receiver.listening() as found:
        yield found


def told(account, listener, kind):
    account.site.minute()
    for endpoint in delivery.due():
        delivery.deliver(endpoint)
    return [notice["data"] for notice in listener.of_type(kind)]


def letters_to(account, subject):
    account.site.minute()
    return [
        letter
        for letter in mail.outbox
        if account.person.email in letter.to and re.search(subject, letter.subject)
    ]


# --- Subscription tiers -----------------------------------------------------------------------

LIMITS = {
    "free": (5, 2 * GB, 2000, 8 * GB, 50 * HOURS, 0),
    "pro": (10, 4 * GB, 4000, 16 * GB, None, None),
    "enterprise": (20, 8 * GB, 8000, 32 * GB, None, None),
}
METERS = ("containers", "memory", "cpu", "disk", "session", "agents")
OWN_FEATURES = {
    "free": {"cloud_containers", "terminal", "websocket", "ssh_keys"},
    "pro": {
        "concurrent_terminals", "session_recording", "multi_pane", "priority_support",
        "shell_themes",
    },
    "enterprise": {
        "macos", "monitoring", "sso", "dedicated_support", "custom_infrastructure", "sla",
    },
}  # fmt: skip


def test_three_tiers_have_different_resource_limits_and_features(host):
    plans = {plan["tier"]: plan for plan in host.get("v1/billing/plans")["plans"]}

    assert tuple(plans) == TIERS
    features: set[str] = set()
    for tier in TIERS:
        limits = {limit["meter"]: limit["amount"] for limit in plans[tier]["limits"]}
        assert tuple(limits[meter] for meter in METERS) == LIMITS[tier]
        features |= OWN_FEATURES[tier]  # "All Free features, plus", "All Pro features, plus"
        assert set(plans[tier]["features"]) == features
        assert set(plans[tier]["features"].values()) == {"available"}
    assert plans["free"]["prices"] == []


def test_the_plan_table_speaks_the_documents_words(host):
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", host.page()))

    for words in (
        "Free", "Pro", "Enterprise", "$0", "Custom pricing", "Personal projects",
        "Professional developers", "2 vCPUs (2000 millicores)", "4 vCPUs (4000 millicores)",
        "8 vCPUs (8000 millicores)", "2 GB", "4 GB", "8 GB", "16 GB", "32 GB", "50 h",
        "Unlimited", "Cloud containers", "Basic terminal access", "WebSocket support",
        "SSH key management", "Concurrent agent terminals", "Session recording",
        "Multi-pane terminals", "Priority support", "Custom shell themes",
        "macOS containers (VMs)", "Advanced monitoring", "SSO integration", "Dedicated support",
        "Custom infrastructure", "SLA guarantees",
    ):  # fmt: skip
        assert words in page, words
    assert "container-hours" not in page.lower(), "planned meters are not for sale"


@pytest.mark.parametrize("tier", TIERS)
def test_the_limits_of_each_tier_hold(request, tier):
    account = request.getfixturevalue({"free": "host"}.get(tier, tier))
    containers, memory, cpu, disk, session, agents = LIMITS[tier]

    assert starts(account, containers).status == 200
    refused = starts(account)
    assert (refused.status, refused.body["code"]) == (402, "quota_exceeded")
    for meter, ceiling in (("memory", memory), ("cpu", cpu), ("disk", disk)):
        assert allows(account, meter, ceiling)
        assert not allows(account, meter, ceiling + 1)
    assert allows(account, "session", 50 * HOURS)
    assert allows(account, "session", 50 * HOURS + 1) is (session is None)
    assert allows(account, "agents", 1) is (agents is None)


def test_a_removed_container_makes_room_for_another(host):
    starts(host, 5)

    host.usage("release", "containers", 1)

    assert starts(host).status == 200


# --- Managing a subscription ------------------------------------------------------------------


def test_the_current_plan_is_displayed_with_its_limits_and_usage(onlooker):
    starts(onlooker, 3)

    assert re.search(r"Current plan.*?Pro", onlooker.page(), re.DOTALL)
    usage = onlooker.page("settings/usage/")
    assert re.search(r"Containers.*?3.*?10", usage, re.DOTALL)


def test_who_upgrades_is_redirected_to_stripes_secure_checkout_page(host):
    session = host.checkout("pro")

    page = fetch(session["url"]).text

    assert session["url"].startswith(host.site.simulator.base_url)
    assert "Pro" in page
    assert "$20.00" in page


def test_to_downgrade_the_plan_is_cancelled_in_the_customer_portal(pro):
    """Then the tier reverts to Free, containers are 5 and sessions 50 hours."""
    subscription = pro.status["subscription_id"]

    in_the_portal(
        portal_of(pro, flow="subscription_cancel"), act="cancel", subscription=subscription
    )

    pro.until(status="canceled", tier="pro")
    pro.advance(32)
    pro.until(tier="free", status="inactive")
    limits, features = limits_of(pro)
    assert (limits["containers"], limits["session"]) == (5, 50 * HOURS)
    assert set(features) == OWN_FEATURES["free"]


def test_payment_methods_are_managed_through_stripes_portal(pro):
    """Added, set as default, removed; history and invoices are there too."""
    url = portal_of(pro, flow="payment_method_update")
    (first,) = cards_of(pro)
    in_the_portal(url, act="add", card="success")
    pro.site.settle()
    second = next(card for card in cards_of(pro) if card != first)

    in_the_portal(url, act="default", method=first)
    in_the_portal(url, act="remove", method=second)

    pro.site.settle()
    assert cards_of(pro) == [first]
    history = fetch(portal_of(pro)).text
    assert pro.invoices[0]["number"] in history
    assert "ending in 4242" in pro.page()


def cards_of(account):
    methods = account.site.simulator.state("payment_method")
    return [one["id"] for one in methods if one["customer"] == account.stripe_id]


def test_cards_wallets_and_bank_transfers_are_whatever_the_stripe_account_offers(site):
    """No list of ours narrows it; a bank debit grants nothing until it has arrived."""
    account = site.team()
    session = account.checkout("pro")
    asked = session["payment_method_types"]
    site.simulator.complete_checkout(session["id"], "bank_debit_succeeds")
    site.settle()
    waiting = account.status["tier"]

    site.simulator.settle_debits(account.stripe_id)

    assert len(asked) > 1 or asked == ["card"]
    assert waiting == "free"
    account.until(tier="pro")


def test_the_invoice_history_shows_number_period_amount_status_and_a_pdf(onlooker):
    page = onlooker.page()

    (invoice,) = onlooker.invoices
    assert invoice["number"] in page
    assert "$20.00" in page
    assert re.search(r"\bPaid\b", page)
    assert re.search(r"\w{3} \d+, \d{4} to \w{3} \d+, \d{4}", page), "the period that it covers"
    assert f'href="{invoice["pdf_url"]}"' in page
    assert fetch(invoice["pdf_url"]).text.startswith("%PDF")


# --- Webhooks ---------------------------------------------------------------------------------


def test_a_new_subscription_updates_the_tier_and_applies_new_limits_immediately(host):
    """And sets subscription_active, and sends the welcome mail."""
    before = host.status["subscription_active"]
    starts(host, 5)
    assert starts(host).status == 402

    host.buy("pro")

    assert (before, host.status["subscription_active"]) == (False, True)
    assert starts(host, 5).status == 200
    assert len(letters_to(host, "is on Pro$")) == 1


def test_an_updated_subscription_changes_the_tier_its_limits_and_the_billing_cycle(pro):
    before = pro.status
    monthly = stripe_api.client().v1.subscriptions.retrieve(before["subscription_id"])
    (item,) = monthly["items"]["data"]
    yearly = next(
        price["id"]
        for price in pro.site.simulator.state("price")
        if price["unit_amount"] == 100_000
    )

    stripe_api.update_subscription(
        before["subscription_id"], {"items": [{"id": item["id"], "price": yearly}]}, key="by hand"
    )

    after = pro.until(tier="enterprise")
    assert after["current_period_end"] > before["current_period_end"]
    assert limits_of(pro)[0]["containers"] == 20


def test_a_deleted_subscription_reverts_the_tier_to_free_and_tells_the_user(pro):
    stripe_api.cancel_subscription(pro.status["subscription_id"], key="by hand")

    status = pro.until(tier="free")

    assert (status["subscription_active"], status["status"]) == (False, "inactive")
    assert len(letters_to(pro, "is on Free now")) == 1


def test_a_paid_invoice_is_logged_and_a_receipt_is_mailed(pro):
    pro.renew()

    assert [invoice["status"] for invoice in pro.invoices] == ["paid", "paid"]
    assert pro.status["subscription_active"] is True
    assert len(letters_to(pro, "(?i)receipt|paid")) == 2


def test_a_failed_payment_sets_past_due_notifies_and_is_retried(pro):
    pro.renew(card="insufficient_funds")

    pro.until(status="past_due")
    assert len(letters_to(pro, "(?i)payment failed|could not|failed")) == 1
    pro.site.simulator.set_card(pro.stripe_id, "success")
    pro.advance(5)
    pro.until(status="active", access="full")


def test_a_completed_checkout_links_the_customer_and_redirects_back_with_success(host):
    session = host.checkout("pro")

    paid = host.site.simulator.complete_checkout(session["id"])

    assert session["customer"] == host.stripe_id
    back = host.open(paid["redirect_url"].partition(f"/o/{host.organization.slug}/")[2])
    assert back.status == 200
    host.until(tier="pro")
    back = host.open(paid["redirect_url"].partition(f"/o/{host.organization.slug}/")[2])
    assert "You are on Pro" in back.text


# --- Status -----------------------------------------------------------------------------------


def test_the_status_values_are_active_past_due_canceled_and_inactive(site):
    account = site.team()
    words = [account.status["status"]]
    account.buy("pro")
    words.append(account.status["status"])
    cancelled = account.post("v1/billing/cancel")
    assert cancelled.status == 200, cancelled.text
    ending = account.until(status="canceled")
    words.append(ending["status"])
    account.post("v1/billing/keep")
    account.until(status="active")
    account.renew(card="decline")
    words.append(account.until(status="past_due")["status"])

    assert words == ["inactive", "active", "canceled", "past_due"]
    assert ending["tier"] == "pro", "still active until period end"
    assert ending["subscription_active"] is True
    assert ending["plan_expires"] == ending["current_period_end"]


# --- Past due ---------------------------------------------------------------------------------


def test_past_due_gives_seven_days_without_new_containers_while_existing_ones_run(pro):
    starts(pro, 3)

    pro.renew(card="decline")

    late = pro.until(status="past_due", tier="pro", access="restricted")
    failed = datetime.fromisoformat(pro.invoices[0]["created_at"])
    days = (datetime.fromisoformat(late["grace_ends_at"]) - failed).total_seconds() / 86_400
    assert 7 <= days < 7.1
    refused = starts(pro)
    assert (refused.status, refused.body["code"]) == (403, "payment_required")
    assert allows(pro, "session", 60 * HOURS), "existing containers remain running"
    assert allows(pro, "memory", 4 * GB)
    assert pro.usage("record", "container_hours", 3600).status == 200
    assert pro.reading("containers")["used"] == 3
    assert "Payment failed" in pro.page()


def test_after_seven_days_the_tier_reverts_to_free_and_the_subscription_ends_at_stripe(pro):
    subscription = pro.status["subscription_id"]
    starts(pro, 8)
    pro.renew(card="decline")
    pro.until(status="past_due")

    pro.advance(7.1)
    pro.site.minute()

    pro.until(tier="free", subscription_active=False, status="inactive", access="full")
    at_stripe = stripe_api.client().v1.subscriptions.retrieve(subscription)
    assert at_stripe["status"] == "canceled"
    assert pro.reading("containers")["limit"] == 5
    assert pro.reading("containers")["used"] == 8, "nothing is deleted"
    assert starts(pro).status == 402
    assert len(letters_to(pro, "is on Free now")) == 1


def test_a_new_card_lets_stripe_retry_the_failed_payment(pro):
    pro.renew(card="decline")
    pro.until(status="past_due")
    assert "Update card" in pro.page() or "payment_method_update" in pro.page()
    pro.site.simulator.set_card(pro.stripe_id, None)

    in_the_portal(portal_of(pro, flow="payment_method_update"), act="add", card="success")
    pro.advance(5)

    pro.until(status="active", access="full")
    assert starts(pro).status == 200


def test_containers_that_exceed_the_limit_are_named_to_the_host_which_stops_them(pro, listener):
    """“Stop 3 of 8 containers”: nothing is deleted here, and the host is told how many."""
    starts(pro, 8)
    endpoints.add(SatelliteFactory.create(), listener.url, organizations=[pro.organization.pk])

    stripe_api.cancel_subscription(pro.status["subscription_id"], key="stop the surplus")
    pro.until(tier="free")

    over = told(pro, listener, "usage.over_limit")[-1]["over"]
    found = [(one["meter"], one["used"], one["limit"], one["surplus"]) for one in over]
    assert found == [("containers", 8, 5, 3)]
    assert over[0]["policy"] == "stop_surplus"
    observed = timezone.now().isoformat()
    now_running = {"organization": str(pro.organization.pk), "meter": "containers"}
    pro.site.call(
        "PUT",
        "/api/v1/usage/level",
        pro.site.service_token,
        {**now_running, "value": 5, "observed_at": observed},
    )
    assert pro.reading("containers")["used"] == 5


# --- Proration and credits --------------------------------------------------------------------


def test_an_upgrade_in_mid_cycle_charges_the_remaining_days_and_applies_at_once(pro):
    """On day 15 of 30 it is about half of the difference: $20 to $100 a month."""
    pro.advance(15)
    shown = pro.post("v1/billing/preview", tier="enterprise").body

    done = pro.post("v1/billing/change", quote=shown["quote"])

    assert done.status == 200, done.text
    assert shown["at_once"] is True
    assert 3_700 <= shown["today"]["total"] <= 4_300
    pro.until(tier="enterprise")
    assert pro.invoices[0]["total"] == shown["today"]["total"]
    assert limits_of(pro)[0]["containers"] == 20


def test_a_change_from_enterprise_to_pro_credits_the_difference_at_once(enterprise):
    enterprise.advance(10)
    shown = enterprise.post("v1/billing/preview", tier="pro").body

    done = enterprise.post("v1/billing/change", quote=shown["quote"])

    assert done.status == 200, done.text
    assert shown["at_once"] is True
    assert shown["today"]["total"] < 0
    enterprise.until(tier="pro")
    assert limits_of(enterprise)[0]["containers"] == 10
    enterprise.renew()
    assert enterprise.invoices[0]["amount_due"] == 0, "the credit pays the next month"


def test_who_cancels_keeps_pro_until_the_period_ends_without_a_refund(pro):
    end = pro.status["current_period_end"]
    pro.advance(10)

    cancelled = pro.post("v1/billing/cancel", reason="unused")

    assert cancelled.body["ends_at"] == end
    pro.until(status="canceled", tier="pro")
    assert starts(pro, 10).status == 200
    pro.advance(22)
    pro.until(tier="free")
    (invoice,) = pro.invoices
    assert (invoice["status"], invoice["amount_refunded"]) == ("paid", 0)


# --- Trial and promotional credits ------------------------------------------------------------


def test_a_trial_of_pro_lasts_14_days_without_a_card_with_full_access(host):
    host.site.settle()  # its customer and clock are there
    assert "14" in host.page()

    started = host.post("v1/billing/trial", tier="pro")

    assert started.status == 200, started.text
    status = host.until(tier="pro", source="trial", plan_active=True)
    assert cards_of(host) == []
    assert status["plan_expires"] == status["current_period_end"]
    assert starts(host, 10).status == 200
    assert set(limits_of(host)[1]) == OWN_FEATURES["free"] | OWN_FEATURES["pro"]
    host.advance(13.9)
    assert host.status["tier"] == "pro"
    host.advance(0.2)
    over = host.status
    assert (over["tier"], over["source"]) == ("free", "default")
    again = host.post("v1/billing/trial", tier="pro")
    assert again.status == 409


def test_a_promo_code_credits_the_stripe_customer_once_and_the_next_invoice_uses_it(pro):
    page = pro.page()
    assert "Promo code" in page

    applied = pro.submit("settings/billing/promo/", code="welcome")

    assert applied.status in {302, 303}
    assert "WELCOME added $10.00 of credit" in pro.page()
    balance = stripe_api.client().v1.customers.retrieve(pro.stripe_id)["balance"]
    assert balance == -1000
    again = pro.post("v1/billing/promo", code="WELCOME")
    assert (again.status, again.body["reason"]) == (422, "used")
    pro.renew()
    invoice = pro.invoices[0]
    assert (invoice["total"], invoice["amount_due"], invoice["amount_paid"]) == (2000, 1000, 1000)
    assert "$10.00 from credit" in pro.page()


def test_a_promo_code_can_be_used_before_there_is_a_subscription(host):
    assert "Promo code" in host.page()
    assert host.post("v1/billing/promo", code="WELCOME").status == 200

    host.buy("pro")

    assert host.invoices[0]["amount_due"] == 1000


# --- Usage-based billing (future) -------------------------------------------------------------

LATER = {
    "container_hours": 5 * 3600,
    "egress": 7 * GB,
    "recording_storage": 3 * GB,
    "agent_hours": 2 * 3600,
}


def test_usage_meters_for_later_count_and_are_never_billed(pro):
    for meter, amount in LATER.items():
        assert pro.usage("record", meter, amount).status == 200

    assert {meter: pro.reading(meter)["used"] for meter in LATER} == LATER
    pro.renew()
    renewal = pro.invoices[0]
    assert renewal["total"] == 2000
    assert len(renewal["lines"]) == 1
    assert pro.site.simulator.events("billing.meter.error_report_triggered") == []
    assert pro.site.simulator.state("billing.meter_event") == []
    usage = pro.get("subscriptions/usage")
    assert all(found["cost"] is None for found in usage["meters"])


# --- API reference ----------------------------------------------------------------------------


def test_the_api_gives_subscription_checkout_portal_and_invoices(onlooker):
    assert {"tier", "status", "subscription_active", "current_period_end"} <= set(onlooker.status)
    assert portal_of(onlooker).startswith(onlooker.site.simulator.base_url)
    assert onlooker.invoices[0]["pdf_url"]
    assert onlooker.post("v1/billing/checkout", tier="pro").status == 409, "there is one already"


# --- Troubleshooting --------------------------------------------------------------------------


@pytest.mark.parametrize("card", ["decline", "insufficient_funds", "expired_card"])
def test_a_declined_card_is_explained_and_charges_nothing(host, card):
    session = host.checkout("pro")

    answer = fetch(
        f"{host.site.simulator.base_url}/_sim/checkout/{session['id']}/complete",
        data=f'{{"card": "{card}"}}'.encode(),
    )

    assert answer.status == 402
    assert answer.body["error"]["message"]
    assert host.status["tier"] == "free"
    assert host.invoices == [] or host.invoices[0]["status"] != "paid"


def test_completed_checkout_is_not_left_on_free_for_a_minute(host):
    """Neither waiting nor signing in again is needed: the very same token sees the new tier."""
    session = host.checkout("pro")
    paid = host.site.simulator.complete_checkout(session["id"])

    path = paid["redirect_url"].partition(f"/o/{host.organization.slug}/")[2]
    page = host.open(path).text

    assert "You are on Pro" in page, "before any webhook came"
    assert host.status["tier"] == "pro"
    assert starts(host, 10).status == 200


def test_duplicate_subscriptions_are_cancelled_and_the_first_one_kept(pro):
    first = pro.status["subscription_id"]
    price = pro.status["price_id"]
    pro.advance(1)
    second = stripe_api.client().v1.subscriptions.create(
        {
            "customer": pro.stripe_id,
            "items": [{"price": price}],
            "default_payment_method": cards_of(pro)[0],
        }
    )
    pro.site.settle()

    def alive():
        found = stripe_api.client().v1.subscriptions.list({"customer": pro.stripe_id})
        return [one["id"] for one in found.data]

    assert alive() == [first]
    assert second["id"] != first
    assert pro.status["tier"] == "pro"
    pro.site.settle()
    assert sorted(one["amount_refunded"] for one in pro.invoices) == [0, 2000]


# --- Security, privacy, deletion ---------------------------------------------------------------


def test_card_numbers_codes_and_full_addresses_are_never_stored(onlooker):
    """Stored are Stripe's ids, status, tier, limits and invoices; the address is Stripe's alone."""
    stored = everything_stored()

    assert onlooker.stripe_id in stored
    assert onlooker.status["subscription_id"] in stored
    assert onlooker.invoices[0]["number"] in stored
    assert "4242424242424242" not in stored
    assert "94107" not in stored, "the postal code of the buyer"
    assert not re.search(r'"(cvc|line1)": "', stored)


def test_a_deleted_account_ends_at_stripe_too_and_its_invoices_remain(pro, listener):
    """The host is told, so that it wipes what belongs to the account."""
    endpoints.add(SatelliteFactory.create(), listener.url, organizations=[pro.organization.pk])
    customer = pro.stripe_id
    slug = pro.organization.slug

    closed = pro.submit("settings/general/close/", confirmation=slug)

    assert closed.status in {302, 303}, closed.text[-600:]
    pro.site.settle()
    tasks.delete_closed_customers()
    pro.site.settle()
    at_stripe = pro.site.simulator.state("customer")
    assert customer not in {one["id"] for one in at_stripe if not one.get("deleted")}
    assert len(told(pro, listener, "organization.deleted")) == 1
    assert pro.organization.invoices.filter(status="paid").count() == 1
    assert pro.usage("check", "containers").status == 404


# --- Enterprise -------------------------------------------------------------------------------


def test_enterprise_is_quoted_by_people(host):
    refused = host.post("v1/billing/checkout", tier="enterprise")

    assert (refused.status, refused.body["code"]) == (422, "contract_only")
    assert refused.body["sales_contact"] == "sales@example.com"
    assert "Talk to sales" in host.page()


def test_enterprise_pays_by_invoice_net_30_with_a_purchase_order(host):
    """By the year, at a discount; the contract's documents are on record."""
    call_command(
        "contract", host.organization.slug, "enterprise", "--net-days", "30",
        "--country", "US", "--postal-code", "94107", "--purchase-order", "PO-4711", "--document", "MSA=https://example.com/msa.pdf",
        "--document", "DPA=https://example.com/dpa.pdf", verbosity=0,
    )  # fmt: skip
    host.advance(0.1)

    status = host.until(tier="enterprise", status="active")
    invoice = host.invoices[0]
    assert (invoice["status"], invoice["total"]) == ("open", 100_000)
    assert 100_000 < 12 * 10_000, "annual billing is discounted"
    due = datetime.fromisoformat(invoice["due_date"])
    issued = datetime.fromisoformat(invoice["created_at"])
    assert 29.9 <= (due - issued).total_seconds() / 86_400 <= 30.1
    at_stripe = stripe_api.client().v1.invoices.retrieve(invoice["id"])
    assert [one["value"] for one in at_stripe["custom_fields"]] == ["PO-4711"]
    assert status["access"] == "full", "nothing is owed before the due date"
    host.advance(31)
    assert host.until(access="restricted")["grace_ends_at"]


def test_a_team_shares_one_plan(onlooker):
    """Multi-seat licensing: members use the organization's plan, and pay nothing of their own."""
    member = onlooker.colleague(Role.MEMBER)

    status = onlooker.site.call("GET", "/api/v1/billing/status", api_token_for(member)).body
    assert (status["tier"], status["org_role"]) == ("pro", "member")
    assert onlooker.open("settings/billing/", person=member).status == 403
