"""Document 000, sentence by sentence: tiers, beta mode, Checkout, portal, organizations."""

import base64
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.utils import timezone

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.entitlement import beta, store
from billing.exceptions import CustomerBusy, StripeUnavailable
from billing.gateway import stripe_api
from billing.licence import standing, token
from billing.licence.token import Licence
from billing.models import CustomerTransfer, EffectivePlan, Grant, InboxEvent, Invoice, Source
from billing.subscription import transfer
from config import aliases
from config.schedule import SCHEDULE
from orgs.models import AuditEntry, Organization, Role
from tests.requirements.product import Product

CATALOGUE = "sessions"
CHECKOUT, PORTAL = "/api/v1/billing/checkout", "/api/v1/billing/portal"
MB, GB = 2**20, 2**30
FREE = {"capture", "resume", "local_search", "local_mcp"}
STARTER = {"cloud_sync", "dashboard", "bookmarks", "manual_judge", "deterministic_summaries"}
PRO = {
    "autosync", "remote_mcp", "handoff", "pr_comments", "project_context", "narrative_summaries",
    "dlp_secrets", "auto_audit",
}  # fmt: skip
TEAM = {"org_management", "shared_storage_pool", "org_settings"}
ENTERPRISE = {"hipaa_dlp", "saml_sso", "compliance_exports", "security_dashboard", "policy_engine"}
PLANNED = ENTERPRISE | {"dlp_secrets"}
FIVE_NAMES = {
    "SFS_STRIPE_SECRET_KEY": "sk_test_51AnotherKeyOfTheDocument000",
    "SFS_STRIPE_WEBHOOK_SECRET": "whsec_document",
    "SFS_STRIPE_PRICE_STARTER": "price_starter",
    "SFS_STRIPE_PRICE_PRO": "price_pro",
    "SFS_STRIPE_PRICE_TEAM": "price_team",
}


@pytest.fixture
def plans(product):
    """What `GET /api/v1/billing/plans` says, by tier."""
    found = product.person("Reader").get("/api/v1/billing/plans")
    assert found.status == 200, found.body
    return {plan["tier"]: plan for plan in found["plans"]}


@pytest.fixture
def self_hosted(db, chosen, monkeypatch):
    """The catalogue in the database alone: nobody has connected Stripe yet."""
    for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", *FIVE_NAMES):
        monkeypatch.delenv(name, raising=False)
    chosen.STRIPE_SECRET_KEY, chosen.STRIPE_WEBHOOK_SECRETS = "", []
    apply(catalog.current(), None, {})
    return Product(stripe=None)  # type: ignore[arg-type]  # nothing here asks Stripe


def contract(organization, **terms):
    """As a system admin's form makes it; the form itself is document 002's subject."""
    return Grant.objects.create(
        organization=organization,
        source=Source.CONTRACT,
        plan_key="enterprise",
        reason="Order form 7",
        starts_at=organization.created_at,
        **terms,
    )


# --- Tiers ------------------------------------------------------------------------------------


def test_the_product_uses_a_five_tier_model(plans):
    assert list(plans) == ["free", "starter", "pro", "team", "enterprise"]


def test_the_free_tier_is_permanent(product):
    """No trial, no end, no card, and nothing that time alone could take away."""
    ann = product.person("Ann")

    status = ann.status()

    assert (status["tier"], status["source"]) == ("free", "default")
    assert (status["plan_expires"], status["current_period_end"]) == (None, None)
    effective = EffectivePlan.objects.get(organization=ann.personal)
    assert effective.valid_until is None


def test_each_tier_costs_what_the_table_says(plans):
    monthly = {
        tier: [(price["interval"], price["currency"], price["amount"]) for price in plan["prices"]]
        for tier, plan in plans.items()
    }

    assert monthly == {
        "free": [],
        "starter": [("month", "usd", 499)],
        "pro": [("month", "usd", 1499)],
        "team": [("month", "usd", 1499)],
        "enterprise": [],
    }
    assert [tier for tier, plan in plans.items() if plan["per_seat"]] == ["team"]


def test_each_tier_has_the_features_of_its_line_and_of_those_before(plans):
    named = {tier: set(plan["features"]) - {"audit_retention"} for tier, plan in plans.items()}

    assert named["free"] == FREE
    assert named["starter"] == FREE | STARTER
    assert named["pro"] == FREE | STARTER | PRO
    assert named["team"] == FREE | STARTER | PRO | TEAM
    assert named["enterprise"] == FREE | STARTER | PRO | TEAM | ENTERPRISE


def test_what_is_coming_soon_or_planned_is_shown_and_never_granted(service, product):
    owner = product.person("Olga")
    organization = product.team(owner=owner)
    contract(organization)
    store.rederive(organization, cause="test")

    features = service.entitlements(organization)["features"]
    page = owner.page(f"/o/{organization.slug}/settings/billing/")

    assert {key for key, state in features.items() if state == "planned"} == PLANNED
    assert features["cloud_sync"] == "available"
    assert "HIPAA DLP" in page.body
    for key in PLANNED:
        asked = service.feature(organization, key)
        assert (asked.status, asked["code"]) == (403, "feature_unavailable")


def test_enterprise_is_sold_by_contact(product):
    owner = product.person("Olga")
    organization = product.team(owner=owner)

    asked = owner.post(CHECKOUT, tier="enterprise")

    assert (asked.status, asked["code"]) == (422, "contract_only")
    assert asked["sales_contact"] == "sales@example.com"
    assert "Contact sales" in owner.page(f"/o/{organization.slug}/settings/billing/").body


def test_enterprise_keeps_the_audit_trail_for_six_years(product, plans):
    """The trail is never pruned; the number is what the product promises of its own."""
    entry = catalog.current().plan_features("enterprise")["audit_retention"]
    organization = product.team()

    assert entry.value == 6 * 365 + 2
    assert (
        "6 years"
        in product.owner_of(organization).page(f"/o/{organization.slug}/settings/billing/").body
    )
    assert AuditEntry.objects.filter(organization=organization).exists()


# --- Storage ----------------------------------------------------------------------------------


def test_each_tier_has_the_cloud_storage_of_the_table(product, plans):
    def storage(tier):
        return next(one for one in plans[tier]["limits"] if one["meter"] == "storage")

    assert storage("free")["amount"] == 50 * MB
    assert storage("starter")["amount"] == storage("pro")["amount"] == 500 * MB
    assert (storage("team")["amount"], storage("team")["per"]) == (GB, "seat")
    assert storage("enterprise")["amount"] is None


def test_the_storage_of_a_team_is_pooled_over_its_seats(service, product):
    owner = product.person("Olga")
    organization = product.team(owner=owner)

    status = product.buys(owner, tier="team", seats=3)

    assert status["storage_limit_bytes"] == 3 * GB
    used = service.consume(organization, "storage", 2 * GB + 1, "one-upload")
    assert (used.status, used["remaining"]) == (200, GB - 1)


def test_storage_is_checked_on_every_sync_upload(service, product):
    """Too much is rejected with a clear error that names the limit of the present tier."""
    ann = product.person("Ann")
    taken = service.consume(ann.personal, "storage", 49 * MB, "first")

    refused = service.consume(ann.personal, "storage", 2 * MB, "second")

    assert taken.status == 200
    assert (refused.status, refused["code"]) == (402, "quota_exceeded")
    assert (refused["plan"], refused["limit"]) == ("free", 50 * MB)
    assert "50 MB" in refused["detail"]
    assert ann.status()["storage_used_bytes"] == 49 * MB


# --- Beta mode --------------------------------------------------------------------------------


def test_without_any_variable_a_self_hosted_server_runs_in_beta_mode(self_hosted):
    assert self_hosted.person("Ann").status()["is_beta"] is True
    assert beta.missing() == tuple(FIVE_NAMES)


@pytest.mark.parametrize("unset", FIVE_NAMES)
def test_without_all_five_variables_the_server_runs_in_beta_mode(self_hosted, monkeypatch, unset):
    ann = self_hosted.person("Ann")
    for name, value in FIVE_NAMES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(unset)

    assert ann.status()["is_beta"] is True
    monkeypatch.setenv(unset, "set")
    assert ann.status()["is_beta"] is False


def test_in_beta_mode_all_features_are_available_regardless_of_tier(service, self_hosted):
    ann = self_hosted.person("Ann")

    features = service.entitlements(ann.personal)["features"]
    upload = service.consume(ann.personal, "storage", 5 * GB, "more-than-any-tier")

    assert {key for key, state in features.items() if state == "available"} == set(
        catalog.current().features
    ) - PLANNED
    assert service.feature(ann.personal, "narrative_summaries").status == 200
    assert (upload.status, upload["limit"]) == (200, None)
    assert ann.status()["storage_limit_bytes"] is None


def test_the_status_says_is_beta_so_that_the_dashboard_shows_a_badge(self_hosted):
    ann = self_hosted.person("Ann")
    staff = self_hosted.person("Sam", is_staff=True)

    page = ann.page(f"/o/{ann.personal.slug}/settings/billing/").body

    assert ann.status()["is_beta"] is True
    assert ">Beta</span>" in page
    assert "SFS_STRIPE_PRICE_TEAM" not in page
    assert "SFS_STRIPE_PRICE_TEAM" in staff.page(f"/o/{staff.personal.slug}/settings/general/").body


def test_a_server_that_has_billed_and_loses_a_variable_fails_closed_and_shouts(
    product, monkeypatch, caplog
):
    ann, ben = product.person("Ann"), product.person("Ben", is_staff=True)
    product.buys(ann, tier="starter")
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET")

    status = ben.status()

    assert (status["tier"], status["is_beta"]) == ("free", False)
    assert "alert.stripe_not_fully_configured" in caplog.text
    assert "SFS_STRIPE_WEBHOOK_SECRET" in caplog.text
    assert "no beta" in ben.page(f"/o/{ben.personal.slug}/settings/general/").body
    assert ann.status()["tier"] == "starter"


# --- Checkout ---------------------------------------------------------------------------------


def test_billing_is_handled_entirely_through_stripe(product):
    """We never see a card: Checkout and portal are pages of Stripe's."""
    ann = product.person("Ann")
    checkout = ann.post(CHECKOUT, tier="pro")["checkout_url"]
    product.pays(checkout)
    portal = ann.post(PORTAL)["portal_url"]

    stripe_host = product.stripe.simulator.base_url
    assert checkout.startswith(stripe_host)
    assert portal.startswith(stripe_host)


def test_checkout_takes_tier_and_seats_and_answers_a_checkout_url(product):
    """The document's own request: {"tier": "pro", "seats": 1}."""
    asked = product.person("Ann").post(CHECKOUT, tier="pro", seats=1)

    assert asked.status == 200
    assert set(asked.body) == {"checkout_url"}


def test_the_seats_field_only_applies_to_the_team_tier(product):
    ann, owner = product.person("Ann"), product.person("Olga")
    product.team(owner=owner)

    refused = ann.post(CHECKOUT, tier="pro", seats=2)
    status = product.buys(owner, tier="team", seats=4)

    assert (refused.status, refused["field"]) == (422, "seats")
    assert status["storage_limit_bytes"] == 4 * GB


def test_after_successful_payment_the_webhook_updates_the_tier(product):
    ann = product.person("Ann")
    asked = ann.post(CHECKOUT, tier="pro")
    product.stripe.simulator.complete_checkout(product.session_of(asked["checkout_url"])["id"])
    before = ann.status()["tier"]

    completed = product.stripe.simulator.events("checkout.session.completed")
    product.stripe.deliver(completed)
    product.hears_of(completed[0]["data"]["object"]["customer"])

    assert (before, ann.status()["tier"]) == ("free", "pro")


def test_valid_tiers_for_checkout_are_starter_pro_and_team(product):
    ann, owner = product.person("Ann"), product.person("Olga")
    product.team(owner=owner)

    assert ann.post(CHECKOUT, tier="starter").status == 200
    assert ann.post(CHECKOUT, tier="pro").status == 200
    assert owner.post(CHECKOUT, tier="team", seats=1).status == 200
    for tier in ("free", "enterprise", "platinum", ""):
        assert owner.post(CHECKOUT, tier=tier).status == 422
    for_teams = ann.post(CHECKOUT, tier="team", seats=1)
    assert (for_teams.status, for_teams["reason"]) == (400, "organization_plan")


# --- The portal -------------------------------------------------------------------------------


def test_the_portal_manages_methods_invoices_plan_and_cancellation(product):
    ann = product.person("Ann")
    product.buys(ann, tier="pro")

    url = ann.post(PORTAL)["portal_url"]
    page = product.reads(url)

    for words in ("Current plan", "Payment methods", "Invoice", "Cancel plan"):
        assert words in page, page


def test_scope_auto_opens_the_orgs_portal_for_admins_and_the_personal_one_for_individuals(product):
    ann, owner, admin = (product.person(name) for name in ("Ann", "Olga", "Adam"))
    organization = product.team(owner=owner)
    product.buys(ann, tier="starter")
    product.buys(owner, tier="team", seats=2)
    product.joins(organization, admin, Role.ADMIN)

    personal = product.portal_customer(ann.post(PORTAL))
    of_team = product.portal_customer(admin.post(PORTAL, scope="auto"))

    assert personal == product.stripe.customer_of(ann.personal)
    assert of_team == product.stripe.customer_of(organization)


def test_scope_org_is_for_admins_only(product):
    owner, member, loner = (product.person(name) for name in ("Olga", "Mia", "Leo"))
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=2)
    product.joins(organization, member)

    opened = owner.post(PORTAL, scope="org")

    assert product.portal_customer(opened) == product.stripe.customer_of(organization)
    assert member.post(PORTAL, scope="org").status == 403
    assert loner.post(PORTAL, scope="org").status == 403


def test_scope_personal_opens_a_subscription_that_exists_beside_a_membership(product):
    owner, member, newcomer = (product.person(name) for name in ("Olga", "Mia", "Noa"))
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=3)
    product.buys(member, tier="pro")
    own = product.stripe.customer_of(member.personal)
    for person in (member, newcomer):
        product.joins(organization, person)

    assert product.portal_customer(member.post(PORTAL, scope="personal")) == own
    assert product.portal_customer(member.post(PORTAL, scope="auto")) == own
    assert newcomer.post(PORTAL, scope="personal").status == 403
    assert newcomer.post(PORTAL, scope="auto").status == 403


# --- Webhooks ---------------------------------------------------------------------------------


def test_a_completed_checkout_activates_the_subscription_and_sets_the_tier(product):
    status = product.buys(product.person("Ann"), tier="starter")

    assert (status["tier"], status["source"], status["status"]) == ("starter", "stripe", "active")
    assert status["has_subscription"] is True


def test_an_updated_subscription_handles_upgrades_downgrades_and_renewals(product):
    ann = product.person("Ann")
    first = product.buys(ann, tier="starter")
    prices = {key: product.price(key) for key in ("starter", "pro")}

    product.changes_price(first["subscription_id"], prices["pro"])
    upgraded = ann.status()["tier"]
    product.changes_price(first["subscription_id"], prices["starter"])
    downgraded = ann.status()["tier"]
    product.time_passes(ann.personal, by_seconds=32 * 86_400)
    renewed = ann.status()

    assert (upgraded, downgraded) == ("pro", "starter")
    assert renewed["tier"] == "starter"
    assert renewed["current_period_end"] > first["current_period_end"]


def test_a_deleted_subscription_downgrades_to_free(product):
    ann = product.person("Ann")
    status = product.buys(ann, tier="pro")

    stripe_api.client().v1.subscriptions.cancel(status["subscription_id"])
    product.hears_of(status["stripe_customer_id"])

    assert (ann.status()["tier"], ann.status()["has_subscription"]) == ("free", False)


def test_a_failed_payment_is_noted_while_stripe_handles_the_retry(product):
    """The tier stays through the retries; the owner is told, and a later payment settles it."""
    ann = product.person("Ann")
    product.buys(ann, tier="pro")
    customer = product.stripe.customer_of(ann.personal)
    product.stripe.simulator.set_card(customer, "insufficient_funds")
    product.time_passes(ann.personal, by_seconds=32 * 86_400)

    status = ann.status()
    (failed,) = Invoice.objects.filter(organization=ann.personal, status="open")

    assert (status["tier"], status["status"], status["access"]) == ("pro", "past_due", "full")
    assert failed.next_payment_attempt is not None
    assert status["next_action"] == "pay_invoice"


def test_events_are_recorded_idempotently_and_duplicates_are_ignored(product):
    ann = product.person("Ann")
    product.buys(ann, tier="pro")
    before, rows = ann.status(), InboxEvent.objects.count()
    sequence = EffectivePlan.objects.get(organization=ann.personal).sequence

    product.hears_again(product.stripe.customer_of(ann.personal))

    assert InboxEvent.objects.count() == rows
    assert ann.status() == before
    assert EffectivePlan.objects.get(organization=ann.personal).sequence == sequence


# --- Status -----------------------------------------------------------------------------------


def test_the_status_says_tier_storage_customer_and_organization(product):
    owner = product.person("Olga")
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=2)

    status = owner.status()

    assert (status["tier"], status["storage_used_bytes"]) == ("team", 0)
    assert status["storage_limit_bytes"] == 2 * GB
    assert status["stripe_customer_id"] == product.stripe.customer_of(organization)
    assert (status["is_org_member"], status["org_role"]) == (True, "owner")
    loner = product.person("Leo").status()
    assert (loner["is_org_member"], loner["org_role"]) == (False, None)


def test_members_see_the_billing_state_of_the_org(product):
    owner, member = product.person("Olga"), product.person("Mia")
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=2)

    product.joins(organization, member)
    status = member.status()

    assert (status["organization"], status["tier"]) == (organization.slug, "team")
    assert (status["is_org_member"], status["org_role"]) == (True, "member")
    assert "stripe_customer_id" not in status


def test_the_status_flags_a_personal_plan_from_before_the_org(product):
    """Kept, shown, cancellable, and never added to what the organization has."""
    owner, member = product.person("Olga"), product.person("Mia")
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=2)
    product.buys(member, tier="pro")

    product.joins(organization, member)
    status = member.status()

    assert status["has_personal_subscription"] is True
    assert owner.status()["has_personal_subscription"] is False
    assert status["storage_limit_bytes"] == 2 * GB
    assert member.status(member.personal)["tier"] == "pro"
    cancelled = member.post("/api/v1/billing/cancel", organization=member.personal.slug)
    assert cancelled.status == 200
    assert member.status(member.personal)["plan_expires"] is not None
    assert member.status()["tier"] == "team"


@contextmanager
def held_elsewhere(name):
    """As if another process were at work on it."""
    terms = {**connection.get_connection_params(), "cursor_factory": None, "context": None}
    with psycopg.connect(**{k: v for k, v in terms.items() if v is not None}) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        yield


# --- Organizations ----------------------------------------------------------------------------


def test_when_an_org_is_created_the_creators_customer_transfers_to_it(product):
    """The subscription comes along, and so do its invoices and its card."""
    ann = product.person("Ann")
    before = product.buys(ann, tier="pro")

    organization = ann.founds("Acme")
    after = ann.status()

    assert after["organization"] == organization.slug
    for name in ("stripe_customer_id", "subscription_id", "price_id", "tier"):
        assert after[name] == before[name]
    assert Invoice.objects.get().organization == organization
    assert organization.payment_methods.count() == 1
    personal = ann.status(ann.personal)
    assert (personal["tier"], personal["stripe_customer_id"]) == ("free", None)
    assert after["has_personal_subscription"] is False


def test_stripes_metadata_follows_the_transfer_even_if_stripe_times_out_half_way(product):
    ann = product.person("Ann")
    product.buys(ann, tier="pro")
    organization = ann.founds("Acme")
    (moved,) = CustomerTransfer.objects.all()
    product.stripe.simulator.fault("POST /v1/subscriptions/*", "timeout_after_processing", times=2)

    with pytest.raises(StripeUnavailable):
        tasks.tell_of_transfer(moved.pk)
    half_way = CustomerTransfer.objects.untold().count()
    tasks.tell_of_transfer(moved.pk)

    (customer,) = product.stripe.simulator.state("customer")
    (subscription,) = product.stripe.simulator.state("subscription")
    assert half_way == 1
    assert CustomerTransfer.objects.untold().count() == 0
    assert customer["metadata"]["organization"] == str(organization.pk)
    assert customer["name"] == "Acme"
    assert subscription["metadata"]["organization"] == str(organization.pk)


def test_events_in_flight_during_the_transfer_are_not_lost(product):
    """Made while the customer was the founder's own, delivered when it is the organization's."""
    ann = product.person("Ann")
    asked = ann.post(CHECKOUT, tier="pro")
    session = product.session_of(asked["checkout_url"])
    product.stripe.simulator.complete_checkout(session["id"])

    organization = ann.founds("Acme")
    product.hears_of(session["customer"])

    assert ann.status()["organization"] == organization.slug
    assert ann.status()["tier"] == "pro"
    assert not InboxEvent.objects.filter(state=InboxEvent.State.DEAD).exists()
    returned = ann.page(
        f"/o/{ann.personal.slug}/settings/billing/return/?session_id={session['id']}"
    )
    assert "You are on Pro" in returned.body


def test_while_another_process_holds_the_customer_nothing_is_half_moved(
    transactional_db, redis_server, product, monkeypatch
):
    """One transaction: no organization without the customer, no customer without it."""
    ann = product.person("Ann")
    product.buys(ann, tier="pro")
    monkeypatch.setattr(transfer, "_PATIENCE", 1)

    with held_elsewhere(f"stripe:{product.stripe.customer_of(ann.personal)}"):
        answer = ann.submit("/organizations/new/", name="Acme")

    assert answer.status == CustomerBusy.status
    assert "Try again in a moment." in answer.body
    assert 'value="Acme"' in answer.body
    assert not Organization.objects.filter(name="Acme").exists()
    assert ann.status()["tier"] == "pro"
    assert ann.founds("Acme").subscriptions.count() == 1


def test_who_gave_their_customer_away_gets_a_new_one_when_they_buy_again(product):
    """Not the old one, whatever idempotency keys and metadata at Stripe still say."""
    ann = product.person("Ann")
    product.buys(ann, tier="starter")
    organization = ann.founds("Acme")
    given = product.stripe.customer_of(organization)
    ann.submit(f"/o/{organization.slug}/settings/general/close/", confirmation="acme")

    status = product.buys(ann, tier="pro")

    assert status["tier"] == "pro"
    assert status["stripe_customer_id"] != given


def test_the_org_has_its_own_stripe_customer_id_and_subscription(product):
    owner, member = product.person("Olga"), product.person("Mia")
    organization = product.team(owner=owner)
    product.buys(member, tier="pro")

    product.buys(owner, tier="team", seats=2)
    product.joins(organization, member)

    accounts = {product.stripe.customer_of(one) for one in (organization, member.personal)}
    assert len(accounts) == 2
    assert organization.subscriptions.count() == member.personal.subscriptions.count() == 1


def test_only_admins_can_create_checkout_sessions_for_team_and_enterprise_plans(product):
    owner, admin, member = (product.person(name) for name in ("Olga", "Adam", "Mia"))
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=3)
    product.joins(organization, admin, Role.ADMIN)
    product.joins(organization, member)

    assert member.post(CHECKOUT, tier="team", seats=3).status == 403
    assert member.post(CHECKOUT, tier="enterprise").status == 403
    assert admin.post(CHECKOUT, tier="team", seats=3)["code"] == "already_subscribed"
    assert admin.post(CHECKOUT, tier="enterprise")["code"] == "contract_only"


def test_members_cannot_purchase_individual_plans_for_their_tier_comes_from_the_org(product):
    owner, member = product.person("Olga"), product.person("Mia")
    organization = product.team(owner=owner)
    product.buys(owner, tier="team", seats=2)
    product.joins(organization, member)

    asked = member.post(CHECKOUT, tier="pro")
    of_their_own = member.post(CHECKOUT, tier="pro", organization=member.personal.slug)
    by_the_owner = owner.post(CHECKOUT, tier="starter")

    for refused in (asked, of_their_own):
        assert (refused.status, refused["reason"]) == (400, "comes_from_organization")
        assert "Acme" in refused["detail"]
    assert (by_the_owner.status, by_the_owner["reason"]) == (400, "individual_plan")
    page = member.page(f"/o/{member.personal.slug}/settings/billing/").body
    assert "Your plan comes from Acme" in page


def test_subscription_changes_by_webhooks_update_the_org_directly(product):
    owner, member = product.person("Olga"), product.person("Mia")
    organization = product.team(owner=owner)
    status = product.buys(owner, tier="team", seats=2)
    product.joins(organization, member)

    stripe_api.client().v1.subscriptions.cancel(status["subscription_id"])
    product.hears_of(status["stripe_customer_id"])

    assert [person.status()["tier"] for person in (owner, member)] == ["free", "free"]


def test_two_subscriptions_of_one_customer_are_told_apart(product):
    """What happens to the one changes nothing of the other."""
    owner = product.person("Olga")
    organization = product.team(owner=owner)
    first = product.buys(owner, tier="team", seats=2)
    second = stripe_api.client().v1.subscriptions.create(
        {
            "customer": first["stripe_customer_id"],
            "items": [{"price": product.price("team"), "quantity": 9}],
        }
    )
    product.hears_of(first["stripe_customer_id"])

    both = owner.status()
    stripe_api.client().v1.subscriptions.cancel(second.id)
    product.hears_of(first["stripe_customer_id"])

    assert both["subscription_id"] == owner.status()["subscription_id"] == first["subscription_id"]
    assert both["storage_limit_bytes"] == owner.status()["storage_limit_bytes"] == 2 * GB
    assert organization.subscriptions.live().get().stripe_id == first["subscription_id"]


# --- Where it is managed ----------------------------------------------------------------------


def test_subscriptions_are_managed_in_the_dashboard_which_redirects_to_stripe(product):
    owner = product.person("Olga")
    organization = product.team(owner=owner)

    settings_page = owner.browser.get("/settings/billing/")
    started = owner.browser.post(
        f"/o/{organization.slug}/settings/billing/checkout/",
        {"tier": "team", "interval": "month", "currency": "usd", "seats": 2},
    )

    assert settings_page["Location"] == f"/o/{organization.slug}/settings/billing/"
    assert started.status_code == 303
    assert started["Location"].startswith(product.stripe.simulator.base_url)


# --- Self-hosted ------------------------------------------------------------------------------


@pytest.fixture
def licensed(self_hosted, chosen, monkeypatch, tmp_path):
    """As the Helm chart installs it: a licence is required. Answers a maker of licences."""
    vendor = Ed25519PrivateKey.generate()
    public = base64.b64encode(vendor.public_key().public_bytes_raw()).decode()
    chosen.LICENCE_PUBLIC_KEYS = tmp_path / "public_keys.toml"
    chosen.LICENCE_PUBLIC_KEYS.write_text(f'"2026-11" = "{public}"\n')
    monkeypatch.setenv("LICENCE_REQUIRED", "1")
    now = timezone.now()

    def install(days):
        terms = Licence(
            id="lic_1",
            holder="Acme",
            instance=str(standing.installation().instance),
            catalog=CATALOGUE,
            plan="team",
            seats=25,
            issued_at=now - timedelta(days=400),
            starts_at=now - timedelta(days=400),
            ends_at=now + timedelta(days=days),
        )
        chosen.LICENCE_KEY = token.sign(terms, "2026-11", vendor)

    return install


def test_without_a_license_the_instance_runs_in_free_tier_mode(licensed, self_hosted):
    """It wins over beta: nothing is unlocked although Stripe is not connected."""
    ann = self_hosted.person("Ann")

    status = ann.status()

    assert (status["tier"], status["is_beta"]) == ("free", False)
    assert status["storage_limit_bytes"] == 50 * MB


def test_the_license_key_determines_the_available_tier(licensed, self_hosted):
    licensed(days=30)

    status = self_hosted.person("Ann").status()

    assert (status["tier"], status["source"]) == ("team", "licence")


def test_licenses_are_validated_at_startup_and_periodically_thereafter(
    licensed, self_hosted, monkeypatch
):
    licensed(days=30)
    ann = self_hosted.person("Ann")
    before = ann.status()["tier"]
    licensed(days=-60)

    monkeypatch.setattr(tasks.refresh_entitlements, "delay", tasks.refresh_entitlements)
    tasks.check_licence_at_start()

    assert (before, ann.status()["tier"]) == ("team", "free")
    assert SCHEDULE["check-licence"]["task"] == tasks.check_licence.name
    assert SCHEDULE["check-licence"]["schedule"] <= 3600


def test_the_five_variables_of_the_document_connect_stripe(product):
    """Each is accepted under its own name: two are ours by another, three name price ids."""
    env, environment = catalog.current().env, dict(FIVE_NAMES)
    aliases.adopt(environment, CATALOGUE)

    assert environment["STRIPE_SECRET_KEY"] == FIVE_NAMES["SFS_STRIPE_SECRET_KEY"]
    assert environment["STRIPE_WEBHOOK_SECRET"] == FIVE_NAMES["SFS_STRIPE_WEBHOOK_SECRET"]
    assert {**env.aliases, **dict.fromkeys(env.prices)}.keys() == FIVE_NAMES.keys()
    prices = {name: product.makes_price(plan.plan) for name, plan in env.prices.items()}
    apply(catalog.current(), stripe_api, prices)

    ann = product.person("Ann")
    assert product.buys(ann, tier="starter")["price_id"] == prices["SFS_STRIPE_PRICE_STARTER"]


def test_transfers_wait_for_nobody_where_there_is_nothing_to_move(product):
    """Somebody without a customer founds an organization like anybody."""
    ann = product.person("Ann")

    organization = ann.founds("Acme")

    assert transfer.to_founded(organization, ann.user) is None
    assert not CustomerTransfer.objects.exists()
