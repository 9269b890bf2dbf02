"""Document 001, "Payments": each test is a sentence of it, asked of the running product."""

import json
import os
import re
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from redis import Redis

from billing.gateway import stripe_api
from billing.models import InboxEvent
from orgs.models import Role, User
from tests.factories.orgs import PASSWORD, UserFactory, api_token_for, personal_organization
from tests.requirements.running import DAY, fetch, running

pytestmark = pytest.mark.django_db

BUDGET = 1_000_000


@pytest.fixture
def _django_db_helper():
    """pytest-django would empty the tables after each test; this installation stays."""


@pytest.fixture(scope="module")
def site(django_db_setup, django_db_blocker, stripe_simulator_process):
    with django_db_blocker.unblock(), running("tokens", stripe_simulator_process) as site:
        yield site


@pytest.fixture
def subscriber(site):
    """A team that has bought Pro."""
    return site.team().buy("pro")


@pytest.fixture(scope="module")
def onlooker(site):
    """One more, for tests that only look."""
    return site.team().buy("pro")


@pytest.fixture
def redis():
    with Redis.from_url(os.environ["REDIS_URL"], decode_responses=True) as redis:
        yield redis


def answer(customer, tokens):
    """What the chat does: ask before, count after."""
    asked = customer.usage("authorize", "tokens")
    if asked.status == 200:
        counted = customer.usage("record", "tokens", tokens)
        assert counted.status == 200, counted.text
    return asked


def used(customer):
    return customer.reading("tokens")["used"]


def eventually(look, expected, seconds=20):
    deadline = time.monotonic() + seconds
    while (found := look()) != expected:
        assert time.monotonic() < deadline, f"{found} and not {expected}"
        time.sleep(0.05)


# --- Checkout ---------------------------------------------------------------------------------


def test_a_checkout_session_is_created_server_side_and_requires_the_billing_address(site):
    customer = site.team()

    session = customer.checkout("pro")

    assert session["billing_address_collection"] == "required"
    assert session["mode"] == "subscription"
    assert session["customer"] == customer.stripe_id


def test_users_are_redirected_to_stripes_hosted_payment_page(site):
    customer = site.team()

    leads_to = customer.submit(
        "settings/billing/checkout/", tier="pro", interval="month", currency="usd"
    )

    assert leads_to.status in {302, 303}, leads_to.text[:300]
    assert leads_to.headers["Location"].startswith(site.simulator.base_url)
    assert "Pro" in fetch(leads_to.headers["Location"]).text


def test_after_payment_a_webhook_updates_the_user_record_and_resets_the_token_budget(site):
    customer = site.team()
    assert answer(customer, 1).status == 429
    session = customer.checkout("pro")
    before = customer.status

    site.simulator.complete_checkout(session["id"])

    after = customer.until(tier="pro", plan_active=True)
    assert (before["tier"], before["plan_active"], before["subscription_id"]) == (
        "free",
        False,
        None,
    )
    assert after["subscription_id"].startswith("sub_")
    reading = customer.reading("tokens")
    assert (reading["limit"], reading["used"], reading["remaining"]) == (BUDGET, 0, BUDGET)


def test_the_budget_is_reset_on_new_purchases(subscriber):
    """Cancelled at once at Stripe and bought again in the same month: a new budget."""
    answer(subscriber, 400_000)
    stripe_api.cancel_subscription(subscriber.status["subscription_id"], key="a new purchase")
    subscriber.until(tier="free")
    subscriber.advance(1)

    subscriber.buy("pro")

    assert used(subscriber) == 0


# --- Billing portal ---------------------------------------------------------------------------


def portal_of(customer, **how):
    opened = customer.post("v1/billing/portal", **how)
    assert opened.status == 200, opened.text
    return opened.body["portal_url"]


def in_the_portal(url, **form):
    return fetch(url, data=urlencode(form).encode())


def price_of(customer, tier):
    plans = customer.get("v1/billing/plans")["plans"]
    assert tier in {plan["tier"] for plan in plans}
    products = {
        found["metadata"]["plan"]: found["id"] for found in customer.site.simulator.state("product")
    }
    (price,) = [
        found["id"]
        for found in customer.site.simulator.state("price")
        if found["product"] == products[tier]
    ]
    return price


def test_users_manage_upgrades_and_downgrades_in_the_portal(subscriber):
    url = portal_of(subscriber, flow="subscription_update")
    subscription = subscriber.status["subscription_id"]

    def choose(tier):
        wish = {"subscription": subscription, "price": price_of(subscriber, tier), "quantity": "1"}
        done = in_the_portal(url, act="confirm", **wish)
        assert done.status in {302, 303}, done.text[-600:]

    choose("plus")
    subscriber.until(tier="plus")
    choose("pro")
    subscriber.site.settle()

    assert subscriber.status["tier"] == "plus", "down with the next period"
    subscriber.renew()
    subscriber.until(tier="pro")


def test_users_cancel_with_stripe_managed_flows(subscriber):
    url = portal_of(subscriber, flow="subscription_cancel")
    subscription = subscriber.status["subscription_id"]

    done = in_the_portal(url, act="cancel", subscription=subscription, reason="unused")

    assert done.status in {302, 303}, done.text[-600:]
    subscriber.site.settle()
    ending = subscriber.status
    assert ending["plan_active"]
    assert ending["plan_expires"] == ending["current_period_end"]
    subscriber.advance(32)
    assert subscriber.until(tier="free")["plan_active"] is False


def test_users_view_invoices_and_payment_history_in_the_portal(onlooker):
    page = fetch(portal_of(onlooker)).text

    (invoice,) = onlooker.invoices
    assert invoice["number"] in page
    assert "$20.00" in page


def test_the_portal_is_accessible_from_the_account_settings_page(onlooker):
    page = onlooker.page()

    assert "Manage at Stripe" in page
    leads_to = onlooker.submit("settings/billing/portal/")
    assert leads_to.status in {302, 303}
    assert leads_to.headers["Location"].startswith(onlooker.site.simulator.base_url)


# --- Webhooks ---------------------------------------------------------------------------------


def test_four_webhook_events_keep_the_database_in_sync_with_subscription_state(subscriber):
    """checkout.session.completed, subscription.updated, payment_succeeded, subscription.deleted."""
    subscription = subscriber.status["subscription_id"]
    first_end = subscriber.status["current_period_end"]
    stripe_api.update_subscription(subscription, {"cancel_at_period_end": True}, key="leave")
    subscriber.site.settle()
    assert subscriber.status["plan_expires"] == first_end
    stripe_api.update_subscription(subscription, {"cancel_at_period_end": False}, key="stay")
    subscriber.site.settle()
    assert subscriber.status["plan_expires"] is None
    subscriber.renew()
    assert subscriber.until(status="active")["current_period_end"] > first_end
    stripe_api.cancel_subscription(subscription, key="gone")
    subscriber.until(tier="free", plan_active=False, subscription_id=None)

    seen = InboxEvent.objects.filter(customer_id=subscriber.stripe_id).values_list(
        "type", flat=True
    )
    assert {
        "checkout.session.completed",
        "customer.subscription.updated",
        "invoice.payment_succeeded",
        "customer.subscription.deleted",
    } <= set(seen)


def test_signature_verification_ensures_only_legitimate_events_are_processed(onlooker):
    event = onlooker.site.simulator.events("customer.subscription.created")[-1]
    forged = json.dumps({**event, "id": "evt_forged"}).encode()
    header = {"Content-Type": "application/json", "Stripe-Signature": f"t={int(time.time())},v1=00"}

    for headers in ({}, header):
        refused = fetch(f"{onlooker.site.url}/webhooks/stripe", data=forged, headers=headers)
        assert refused.status == 400

    assert not InboxEvent.objects.filter(event_id="evt_forged").exists()


# --- Customers --------------------------------------------------------------------------------


def test_a_customer_is_created_in_the_background_when_a_user_signs_up(site):
    """Sign-up answers without Stripe; the id is on the record soon after."""
    email = "mai@example.com"
    site.simulator.fault("POST /v1/customers", "slow", seconds=2)
    door = fetch(f"{site.url}/accounts/signup/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', door.text)
    cookie = re.search(r"csrftoken=\w+", door.headers["Set-Cookie"])
    assert token
    assert cookie
    form = {"csrfmiddlewaretoken": token[1], "email": email, "password1": PASSWORD}

    started = time.monotonic()
    done = fetch(
        f"{site.url}/accounts/signup/",
        data=urlencode(form).encode(),
        headers={"Cookie": cookie[0]},
    )
    took = time.monotonic() - started
    site.simulator.clear_faults()

    assert done.status == 302, done.text[-500:]
    assert took < 2, "Stripe was not waited for"
    customer = site.customer(personal_organization(User.objects.get(email=email)))
    eventually(lambda: (customer.stripe_id or "")[:4], "cus_")
    (at_stripe,) = [
        one for one in site.simulator.state("customer") if one["id"] == customer.stripe_id
    ]
    assert at_stripe["email"] == email


def test_six_stripe_related_columns_are_tracked(onlooker):
    status = onlooker.status

    assert status["stripe_customer_id"].startswith("cus_")
    assert status["subscription_id"].startswith("sub_")
    assert status["price_id"] == price_of(onlooker, "pro")
    assert status["current_period_end"]
    assert status["plan_active"] is True
    assert status["plan_expires"] is None
    member = site_member(onlooker)
    assert "stripe_customer_id" not in member
    assert member["plan_active"] is True


def site_member(customer):
    token = api_token_for(customer.colleague(Role.MEMBER))
    return customer.site.call("GET", "/api/v1/billing/status", token).body


# --- Token budget -----------------------------------------------------------------------------


def test_usage_is_counted_after_each_assistant_response(subscriber):
    answer(subscriber, 1200)
    answer(subscriber, 800)

    reading = subscriber.reading("tokens")
    assert (reading["used"], reading["remaining"]) == (2000, BUDGET - 2000)


def test_a_429_error_is_returned_when_the_budget_is_exhausted(subscriber):
    """The last answer may pass the limit: its size was known only afterwards."""
    assert answer(subscriber, BUDGET - 1).status == 200
    assert answer(subscriber, 5000).status == 200

    refused = answer(subscriber, 1)

    assert refused.status == 429
    assert refused.body["code"] == "quota_exceeded"
    assert int(refused.headers["Retry-After"]) > 0
    assert (refused.body["used"], refused.body["remaining"]) == (BUDGET + 4999, 0)


def test_the_budget_is_tracked_in_redis_at_chatbot_usage_and_the_users_id(site, redis):
    """A personal subscriber: the key names the person, and holds what is left."""
    person = UserFactory.create()
    customer = site.customer(personal_organization(person)).buy("pro")
    key = f"chatbot-usage:{person.pk}"
    eventually(lambda: redis.get(key), str(BUDGET))

    answer(customer, 250_000)

    eventually(lambda: redis.get(key), str(BUDGET - 250_000))
    assert 0 < redis.ttl(key) <= 32 * DAY
    redis.set(key, 10 * BUDGET)
    customer.usage("record", "tokens", BUDGET)
    assert answer(customer, 1).status == 429, "nothing that Redis holds admits anything"


def test_the_budget_is_reset_when_the_period_is_paid(subscriber):
    answer(subscriber, 900_000)

    subscriber.renew()

    eventually(lambda: used(subscriber), 0)
    assert subscriber.reading("tokens")["limit"] == BUDGET


def card_of(customer):
    methods = customer.site.simulator.state("payment_method")
    return next(one["id"] for one in methods if one["customer"] == customer.stripe_id)


def test_no_other_payment_resets_the_budget(subscriber):
    """B23: a proration, or a one-off invoice, is not the period's own."""
    answer(subscriber, 300_000)
    changed = subscriber.post("v1/billing/change", tier="plus")
    assert changed.status == 200, changed.text
    subscriber.until(tier="plus")
    one_off = stripe_api.client().v1
    customer = subscriber.stripe_id
    one_off.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd"})
    invoice = one_off.invoices.create(
        {"customer": customer, "pending_invoice_items_behavior": "include"}
    )
    one_off.invoices.pay(invoice.id, {"payment_method": card_of(subscriber)})
    subscriber.site.settle()

    paid = [found["total"] for found in subscriber.invoices if found["status"] == "paid"]
    assert len(paid) == 3
    assert 500 in paid
    assert used(subscriber) == 300_000


def test_a_renewal_that_is_not_paid_leaves_the_budget_as_it_was(subscriber):
    answer(subscriber, 600_000)

    subscriber.renew(card="decline")

    status = subscriber.until(status="past_due")
    assert used(subscriber) == 600_000
    assert status["plan_active"] is True
    subscriber.site.simulator.set_card(subscriber.stripe_id, "success")
    (owed,) = [found for found in subscriber.invoices if found["status"] == "open"]
    stripe_api.client().v1.invoices.pay(owed["id"])
    subscriber.until(status="active")
    eventually(lambda: used(subscriber), 0)


# --- State ------------------------------------------------------------------------------------


def test_active_statuses_are_active_trialing_past_due_and_incomplete(site):
    """Shown as active by policy; tokens are still granted only on payment."""
    seen = {}
    ways: dict[str, dict[str, Any]] = {
        "active": {},
        "trialing": {"trial_period_days": 7},
        "incomplete": {"payment_behavior": "default_incomplete"},
    }
    for status, how in ways.items():
        customer = site.team()
        seen[status] = _subscribed(customer, **how)
    late = site.team().buy("pro")
    late.renew(card="decline")
    seen["past_due"] = late.until(status="past_due"), late.reading("tokens")["limit"]

    shown = {status: (found["status"], found["plan_active"]) for status, (found, _) in seen.items()}
    assert shown == {status: (status, True) for status in seen}
    assert {status: limit for status, (_, limit) in seen.items()} == {
        "active": BUDGET,
        "trialing": BUDGET,
        "past_due": BUDGET,
        "incomplete": 0,
    }


def _subscribed(customer, **how):
    """A subscription made at Stripe itself, as another program would."""
    customer.site.settle()
    stripe = stripe_api.client().v1
    if how.get("payment_behavior") is None:
        method = stripe.payment_methods.attach("pm_card_visa", {"customer": customer.stripe_id})
        stripe.customers.update(
            customer.stripe_id, {"invoice_settings": {"default_payment_method": method.id}}
        )
    items = [{"price": price_of(customer, "pro")}]
    wanted: Any = {"customer": customer.stripe_id, "items": items, **how}
    stripe.subscriptions.create(wanted)
    customer.site.settle()
    return customer.status, customer.reading("tokens")["limit"]


def test_plan_expires_is_tracked_for_grace_period_logic(subscriber):
    subscriber.renew(card="decline")

    late = subscriber.until(status="past_due")

    assert late["plan_expires"] == late["grace_ends_at"]
    subscriber.advance(8)
    over = subscriber.until(tier="free")
    assert over["plan_active"] is False
    assert answer(subscriber, 1).status == 429


def test_current_period_end_is_there_for_the_renewal_date(onlooker):
    end = onlooker.status["current_period_end"]

    assert re.search(r"Renews on \w+ \d+, \d{4}", onlooker.page())
    assert end[:4] in onlooker.page()


def test_plans_pricing_and_limits_are_customizable_in_one_file(site):
    plans = {plan["tier"]: plan for plan in site.team().get("v1/billing/plans")["plans"]}

    assert list(plans) == ["free", "pro", "plus"]
    for paid in ("pro", "plus"):
        (limit,) = plans[paid]["limits"]
        assert (limit["meter"], limit["amount"], limit["hard"]) == ("tokens", BUDGET, True)
