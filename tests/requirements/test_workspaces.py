"""Document 002, sentence by sentence: effective tier, sources, soft seats, gates before launch."""

import io
import json
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from billing import catalog, evidence, tasks
from billing.catalog.apply import apply
from billing.entitlement import clock, grants, store
from billing.evidence import Attachment
from billing.gateway import stripe_api
from billing.models import (
    Classification,
    EffectivePlanChange,
    Evidence,
    Grant,
    PlanPrice,
    Source,
    SubscriptionPlan,
)
from config.preflight import smoke
from orgs import audit
from orgs.exceptions import DomainError
from orgs.models import AuditEntry, Organization, Role
from quotas import enforcement_modes
from quotas.enforcement_modes import Order, SwitchRefused
from quotas.models import Observation

CATALOGUE = "workspaces"
CHECKOUT = "/api/v1/billing/checkout"
DAY = 86_400
SOLO = {"reads", "local_basics", "public_templates"}
PAID_ACTS = {
    "external_imports", "ai_imports", "team_sharing", "private_registry", "approval_governance",
    "source_update_checks",
}  # fmt: skip
ROADMAP = {"sso", "scim", "onprem_sync", "siem_export", "compliance_support"}
LINK = "https://docs.example.com/qa"


@pytest.fixture
def workspace(product):
    return product.team(name="Fig", owner=product.person("Olga"))


@pytest.fixture
def owner(product, workspace):
    return product.owner_of(workspace)


def enforced(product):
    """As after the backfill: everybody is classified, and QA evidence is attached."""
    staff = product.person("Sven", is_staff=True, is_superuser=True).user
    for organization in Organization.objects.open():
        Classification.objects.get_or_create(
            organization=organization, defaults={"kind": Classification.Kind.DEFAULT}
        )
    seen = evidence.attach(Attachment(summary="QA", link=LINK), author=None)
    order = Order(mode="enforce", reason="launch", evidence=seen)
    made = enforcement_modes.switch(order, actor=staff)
    enforcement_modes.settle()
    return made


def answers(service, workspace, features):
    """Feature → what the product hears when somebody begins the act."""
    asked = {key: service.feature(workspace, key) for key in features}
    return {key: "ok" if one.status == 200 else one["code"] for key, one in asked.items()}


def given(workspace, source, plan="teams", **terms):
    now = clock.now_for(workspace)
    grant = Grant(
        organization=workspace,
        source=source,
        plan_key=plan,
        reason="Agreed on the phone",
        starts_at=terms.pop("starts_at", now),
        **terms,
    )
    return grants.give(grant, actor=workspace.memberships.get(role=Role.OWNER).user)


# --- The tiers --------------------------------------------------------------------------------


def test_a_workspace_has_an_effective_tier(product):
    """Solo is free, Advanced / Teams is sold by month and year, Enterprise by people."""
    found = product.person("Reader").get("/api/v1/billing/plans")

    plans = {plan["tier"]: plan for plan in found["plans"]}
    assert [(key, plan["kind"]) for key, plan in plans.items()] == [
        ("solo", "free"), ("teams", "paid"), ("enterprise", "contract"),
    ]  # fmt: skip
    assert [price["interval"] for price in plans["teams"]["prices"]] == ["month", "year"]
    assert plans["teams"]["name"] == "Advanced / Teams"
    assert plans["enterprise"]["sales_contact"] == "sales@example.com"


def test_the_foundation_is_checkout_portal_webhooks_customers_and_state(product, workspace, owner):
    status = product.buys(owner, tier="teams", seats=2, interval="year")
    portal = owner.post("/api/v1/billing/portal", scope="org")

    assert (status["tier"], status["source"], status["status"]) == ("teams", "stripe", "active")
    assert status["stripe_customer_id"] == product.stripe.customer_of(workspace)
    assert product.portal_customer(portal) == product.stripe.customer_of(workspace)


def test_seat_gates_are_soft(product, workspace, owner):
    """The invitation is accepted, flagged to the owner in a banner, and never blocked."""
    product.buys(owner, tier="teams", seats=1)
    enforced(product)

    joined = product.joins(workspace, product.person("Mia"))
    page = owner.page(f"/o/{workspace.slug}/settings/members/").body

    assert joined.status == 200
    assert workspace.memberships.count() == 2
    assert owner.status()["tier"] == "teams"
    assert "1 person has no paid seat" in page


def test_paid_only_acts_resolve_through_the_effective_tier(service, product, workspace, owner):
    """Advanced / Teams is required for each of them; Solo keeps what is free."""
    enforced(product)
    solo = answers(service, workspace, SOLO | PAID_ACTS)

    product.buys(owner, tier="teams", seats=1)
    teams = answers(service, workspace, SOLO | PAID_ACTS)

    assert solo == dict.fromkeys(SOLO, "ok") | dict.fromkeys(PAID_ACTS, "feature_unavailable")
    assert set(teams.values()) == {"ok"}


def test_solo_keeps_reads_local_basics_and_public_templates(product, workspace, owner):
    """Whatever is enforced; and the owner reads every page."""
    enforced(product)

    effective = store.current(workspace)

    assert {key for key in SOLO | PAID_ACTS if effective.plan.offers(key)} == SOLO
    for page in ("billing", "pricing", "usage", "members", "general", "audit"):
        assert owner.page(f"/o/{workspace.slug}/settings/{page}/").status == 200, page


def test_roadmap_claims_are_granted_to_nobody(service, product, workspace):
    """Neither by contract nor while nothing is enforced."""
    observed = answers(service, workspace, ROADMAP)
    given(workspace, Source.CONTRACT, "enterprise")
    enforced(product)

    by_contract = answers(service, workspace, ROADMAP)

    assert set(observed.values()) == set(by_contract.values()) == {"feature_unavailable"}
    features = service.entitlements(workspace)["features"]
    assert {features[key] for key in ROADMAP} == {"planned"}


def test_enterprise_is_an_entitlement_for_support_and_contracts(product, workspace, owner):
    """Given by a system admin: seats, dates, limits, purchase order, terms, links; all audited."""
    staff = product.staff()
    now = timezone.now()
    form = {
        "organization": str(workspace.pk),
        "source": "contract",
        "plan_key": "enterprise",
        "seats": "40",
        "reason": "Order form 12",
        "starts_at_0": now.date().isoformat(),
        "starts_at_1": "00:00:00",
        "ends_at_0": (now + timedelta(days=365)).date().isoformat(),
        "ends_at_1": "00:00:00",
        "own_limits": "members = 40",
        "purchase_order": "PO-7781",
        "net_days": "30",
        "documents": "Order form https://docs.example.com/of-12.pdf",
    }
    refused = staff.submit(reverse("admin:billing_grant_add"), **form | {"net_days": "90"})
    saved = staff.submit(reverse("admin:billing_grant_add"), **form)

    assert "Select a valid choice" in refused.body
    assert saved.status == 200
    (grant,) = workspace.grants.all()
    assert (grant.seats, grant.limits, grant.author) == (40, {"members": 40}, staff.user)
    assert grant.terms == {
        "purchase_order": "PO-7781",
        "net_days": 30,
        "documents": [{"title": "Order form", "url": "https://docs.example.com/of-12.pdf"}],
    }
    status = owner.status()
    assert (status["tier"], status["source"]) == ("enterprise", "contract")
    page = owner.page(f"/o/{workspace.slug}/settings/pricing/").body
    for words in ("Enterprise contract", "PO-7781", "30 days net", "of-12.pdf", "Seats: 40"):
        assert words in page, words
    assert "Order form 12" not in page
    entry = AuditEntry.objects.get(action="billing.grant_given", organization=workspace)
    assert entry.after["terms"]["purchase_order"] == "PO-7781"


# --- Attention --------------------------------------------------------------------------------


def test_billing_attention_blocks_new_paid_only_acts_and_never_reads(
    service, product, workspace, owner
):
    product.buys(owner, tier="teams", seats=1)
    enforced(product)
    product.stripe.simulator.set_card(product.stripe.customer_of(workspace), "insufficient_funds")
    product.time_passes(workspace, by_seconds=32 * DAY)

    status = owner.status()
    acts = answers(service, workspace, PAID_ACTS | SOLO)

    assert (status["access"], status["next_action"]) == ("restricted", "pay_invoice")
    assert acts == dict.fromkeys(PAID_ACTS, "payment_required") | dict.fromkeys(SOLO, "ok")
    for page in ("billing", "pricing", "usage", "members"):
        assert owner.page(f"/o/{workspace.slug}/settings/{page}/").status == 200, page
    assert "New paid actions wait" in owner.page(f"/o/{workspace.slug}/settings/pricing/").body
    promo = owner.post("/api/v1/billing/change", tier="teams", seats=3)
    assert promo.status == 403


# --- Where an entitlement comes from ----------------------------------------------------------


def test_pricing_settings_show_tier_source_status_next_action_and_features(
    product, workspace, owner
):
    path = f"/o/{workspace.slug}/settings/pricing/"
    solo = owner.page(path).body
    product.buys(owner, tier="teams", seats=3)

    teams = owner.page(path).body

    for words in ("Solo", "Default plan", "Active", "Choose a plan", "Not available"):
        assert words in solo, words
    assert solo.index("Not available") < solo.index("External imports")
    for words in ("Advanced / Teams", "Stripe subscription", "3 seats", "Paid features"):
        assert words in teams, words
    assert teams.index("External imports") < teams.index("Not available") < teams.index("SCIM")
    member = product.person("Mia")
    product.joins(workspace, member)
    assert member.page(path).status == 403


def test_sources_are_default_stripe_pilot_contract_and_site_owner(product, workspace, owner):
    """Each beats those before it, and says so on the page; the trace keeps what it overrode."""
    path = f"/o/{workspace.slug}/settings/pricing/"
    seen = [owner.status()["source"]]
    product.buys(owner, tier="teams", seats=1)
    seen.append(owner.status()["source"])

    for hours, source, label in (
        (4, Source.PILOT, "Pilot"),
        (3, Source.MANUAL, "Manual override"),
        (2, Source.CONTRACT, "Enterprise contract"),
        (1, Source.SITE_OWNER, "Site-owner override"),
    ):
        since = clock.now_for(workspace) - timedelta(hours=hours)
        plan = "enterprise" if source == Source.CONTRACT else "teams"
        given(workspace, source, plan, starts_at=since)
        seen.append(owner.status()["source"])
        assert label in owner.page(path).body

    assert seen == ["default", "stripe", "pilot", "manual", "contract", "site_owner"]
    last = EffectivePlanChange.objects.filter(organization=workspace).latest("sequence")
    assert any(step["subject"].startswith("stripe:") for step in last.trace)


def test_what_was_given_warns_before_it_ends_and_ends_by_itself(product, workspace, owner):
    """With reason, author, start and end; the admin's list finds it, the owner gets one mail."""
    staff = product.staff()
    ends = clock.now_for(workspace) + timedelta(days=6)
    given(workspace, Source.PILOT, ends_at=ends)

    tasks.announce_transitions()
    tasks.announce_transitions()
    tasks.deliver_outbox()

    (letter,) = [one for one in mail.outbox if "ends on" in one.subject]
    assert letter.to == [owner.user.email]
    assert "Pilot" in str(letter.body)
    listed = staff.page(reverse("admin:billing_grant_changelist") + "?end=soon").body
    assert "1 grant" in listed
    assert "until" in owner.page(f"/o/{workspace.slug}/settings/pricing/").body
    grant = workspace.grants.get()
    assert (grant.reason, grant.author) == ("Agreed on the phone", owner.user)
    Grant.objects.update(starts_at=ends - timedelta(days=9), ends_at=ends - timedelta(days=7))
    store.rederive(workspace, cause="a week later")
    assert owner.status()["source"] == "default"


def test_a_grant_is_ended_by_revoking_and_stays_on_record(product, workspace, owner):
    staff = product.staff()
    given(workspace, Source.MANUAL)
    grant = workspace.grants.get()

    staff.submit(
        reverse("admin:billing_grant_changelist"), action="revoke", _selected_action=grant.pk
    )

    assert owner.status()["source"] == "default"
    assert workspace.grants.get().revoked_at is not None
    assert AuditEntry.objects.filter(action="billing.grant_revoked").exists()


# --- Before self-serve billing ----------------------------------------------------------------


def test_amount_currency_interval_tax_and_portal_are_chosen_intentionally(product):
    """All of it stands in the file that is published; what the document leaves open says so."""
    sold = catalog.current()
    plan = sold.plans["teams"]
    prices = {one["id"]: one for one in product.stripe.simulator.state("price")}

    published = [prices[product.price("teams", interval)] for interval in ("month", "year")]

    assert [one["unit_amount"] for one in published] == [1200, 12_000]
    assert [one["recurring"]["interval"] for one in published] == ["month", "year"]
    assert {one["currency"] for one in published} == {"usd"}
    assert {one["tax_behavior"] for one in published} == {sold.tax.behavior}
    assert all(price.assumed for _interval, _currency, price in plan.each_price())
    assert (sold.cancellation.when, plan.trial, sold.portal.cancel) == ("period_end", None, True)


def test_price_ids_are_set_for_the_target_environment(product, owner):
    """By hand, monthly and yearly; what does not fit what the file says is refused."""
    month, year = (product.makes_price("teams", interval) for interval in ("month", "year"))
    swapped = {
        "STRIPE_PRICE_TEAMS_MONTHLY_USD": year,
        "STRIPE_PRICE_TEAMS_YEARLY_USD": month,
    }
    right = {
        "STRIPE_PRICE_TEAMS_MONTHLY_USD": month,
        "STRIPE_PRICE_TEAMS_YEARLY_USD": year,
    }

    with pytest.raises(Exception, match="teams"):
        apply(catalog.current(), stripe_api, swapped)
    apply(catalog.current(), stripe_api, right)

    assert product.buys(owner, tier="teams", seats=1, interval="year")["price_id"] == year


def test_unknown_price_ids_and_mode_mismatches_fail_closed(
    service, product, workspace, owner, caplog
):
    """For paid actions; and somebody is told."""
    status = product.buys(owner, tier="teams", seats=1)
    enforced(product)
    known = PlanPrice.objects.get(stripe_price_id=status["price_id"])
    PlanPrice.objects.filter(pk=known.pk).update(stripe_price_id="price_elsewhere")
    store.rederive(workspace, cause="test")
    unknown = answers(service, workspace, PAID_ACTS)
    PlanPrice.objects.filter(pk=known.pk).update(stripe_price_id=status["price_id"])
    workspace.subscriptions.update(livemode=True)
    store.rederive(workspace, cause="test")

    other_mode = answers(service, workspace, PAID_ACTS)

    assert unknown == other_mode == dict.fromkeys(PAID_ACTS, "feature_unavailable")
    assert caplog.text.count("alert.subscription_grants_nothing") >= 2
    assert answers(service, workspace, SOLO) == dict.fromkeys(SOLO, "ok")


def test_webhooks_remain_the_source_of_truth_for_provisioning(product, workspace, owner):
    """Neither the click nor an unsigned message provisions anything; the signed one does."""
    asked = owner.post(CHECKOUT, tier="teams", seats=1)
    session = product.session_of(asked["checkout_url"])
    product.stripe.simulator.complete_checkout(session["id"])
    before = owner.status()["tier"]
    event = product.stripe.events_of(session["customer"])[0]
    forged = owner.browser.post(
        "/webhooks/stripe", data=json.dumps(event), content_type="application/json"
    )
    still = owner.status()["tier"]

    product.hears_of(session["customer"])

    assert (before, forged.status_code, still) == ("solo", 400, "solo")
    assert owner.status()["tier"] == "teams"


def test_enforcement_stays_non_blocking_until_backfill_and_evidence(service, product, workspace):
    """It starts in observe: acts go through, and what would have been refused is kept. Enforcing
    is one act, refused before everybody is classified and evidence is attached, and reversible."""
    acts = answers(service, workspace, PAID_ACTS)
    noted = Observation.objects.filter(organization=workspace, source="feature")
    seen = evidence.attach(Attachment(summary="QA", link=LINK), author=None)
    with pytest.raises(SwitchRefused):
        enforcement_modes.switch(
            Order(mode="enforce", reason="now", evidence=seen), actor=audit.SYSTEM
        )
    with pytest.raises(DomainError, match="evidence"):
        enforcement_modes.switch(Order(mode="enforce", reason="now"), actor=audit.SYSTEM)

    made = enforced(product)
    blocked = answers(service, workspace, PAID_ACTS)
    enforcement_modes.undo(made, actor=audit.SYSTEM)
    enforcement_modes.settle()

    assert set(acts.values()) == {"ok"}
    assert set(noted.values_list("subject", flat=True)) == PAID_ACTS
    assert set(blocked.values()) == {"feature_unavailable"}
    assert set(answers(service, workspace, PAID_ACTS).values()) == {"ok"}


def test_self_serve_billing_waits_for_live_smoke_evidence(product, owner, settings):
    """In live mode Checkout is shut until a live smoke run has passed."""
    settings.STRIPE_LIVE_MODE = True
    shut = owner.post(CHECKOUT, tier="teams", seats=1)
    evidence.store(Evidence.Kind.SMOKE, passed=True, summary="live smoke", report={})

    opened = owner.post(CHECKOUT, tier="teams", seats=1)

    assert (shut.status, shut["code"]) == (503, "checkout_not_open")
    assert opened["code"] != "checkout_not_open" if opened.status != 200 else True


def test_pilot_workspaces_are_classified_before_enforcement(product, workspace, tmp_path):
    """Each as Stripe Team, manual pilot, Enterprise contract or explicit Solo, from one sheet."""
    payer = product.person("Pia")
    teams = {"pays": product.team(name="Pays", owner=payer), "alone": workspace}
    teams |= {name: product.team(name=name, owner=payer) for name in ("pilots", "signed")}
    payer.submit(f"/o/{teams['pays'].slug}/switch/")
    product.buys(payer, tier="teams", seats=1)
    sheet = tmp_path / "decided.csv"
    rows = [
        ("organization", "class", "plan", "seats", "until", "reason"),
        (teams["pays"].slug, "stripe", "", "", "", ""),
        (teams["pilots"].slug, "pilot", "teams", "5", "2027-06-30", "pilot of the spring"),
        (teams["signed"].slug, "contract", "enterprise", "40", "", "order form 7"),
        (teams["alone"].slug, "solo", "", "", "", "a creator"),
    ]
    sheet.write_text("\n".join(map(",".join, rows)), encoding="utf-8")

    call_command("billing", "classify", str(sheet), stdout=io.StringIO())
    only_looked = Classification.objects.count()
    call_command("billing", "classify", str(sheet), "--apply", stdout=io.StringIO())

    kinds = dict(Classification.objects.values_list("organization__slug", "kind"))
    assert only_looked == 0
    assert kinds == {
        teams["pays"].slug: "stripe", teams["pilots"].slug: "pilot",
        teams["signed"].slug: "contract", teams["alone"].slug: "default",
    }  # fmt: skip
    sources = {name: store.current(one).source for name, one in teams.items()}
    assert sources == {
        "pays": "stripe", "pilots": "pilot", "signed": "contract", "alone": "default",
    }  # fmt: skip


def test_smoke_verifies_checkout_return_webhook_portal_and_seat_gate(product):
    """One command walks the whole way; what it saw is kept as evidence."""

    def once_delivered(condition):
        product.stripe.deliver(product.stripe.simulator.events())
        return condition()

    kept = smoke.run(wait=once_delivered)

    assert kept.passed, kept.report
    steps = {found["name"]: found["outcome"] for found in kept.report["findings"]}
    assert {"checkout", "webhook", "portal", "seat-gate"} <= steps.keys(), steps
    assert set(steps.values()) <= {"ok", "skipped"}, steps


# --- Trust ------------------------------------------------------------------------------------


def test_a_workspace_is_the_unit_of_trust(product, workspace, owner):
    """A stranger finds nothing of it, whatever they ask."""
    stranger = product.person("Eve")

    for page in ("", "settings/billing/", "settings/pricing/", "settings/members/"):
        assert stranger.page(f"/o/{workspace.slug}/{page}").status == 404, page
    named = {"organization": workspace.slug}
    for path in ("checkout", "portal", "cancel"):
        asked = stranger.post(f"/api/v1/billing/{path}", tier="teams", **named)
        assert asked.status in (404, 422), path
    assert stranger.get(f"/api/v1/billing/status?organization={workspace.slug}").status == 404


def test_owners_and_admins_buy_and_members_do_not(product, workspace, owner):
    admin, member = product.person("Adam"), product.person("Mia")
    product.joins(workspace, admin, Role.ADMIN)
    product.joins(workspace, member)

    assert admin.post(CHECKOUT, tier="teams", seats=3).status == 200
    assert owner.post(CHECKOUT, tier="teams", seats=3).status == 200
    assert member.post(CHECKOUT, tier="teams", seats=3).status == 403


def test_billing_surfaces_keep_no_customer_content(service, product, workspace):
    """A usage call with a field that nobody has agreed on is refused, not stored."""
    refused = service.post(
        "/api/v1/usage/consume",
        organization=str(workspace.pk),
        meter="members",
        amount=1,
        idempotency_key="k",
        dimensions={"prompt": "the text of a customer's prompt"},
    )

    assert refused.status == 422
    assert "customer's prompt" not in json.dumps(refused.body)


def test_support_reports_are_bounded_and_carry_no_secrets(product, workspace, owner):
    product.buys(owner, tier="teams", seats=1)
    out = io.StringIO()

    call_command("support_report", stdout=out)

    report = out.getvalue()
    assert len(report) < 100_000
    for secret in (owner.user.email, owner.secret, "sk_test_", "whsec_", workspace.name):
        assert secret not in report, secret


def test_plans_that_left_the_file_keep_their_workspace(product, workspace, owner):
    """Backfilled grants outlive a catalogue: an unknown plan grants nothing and breaks nothing."""
    given(workspace, Source.PILOT)
    SubscriptionPlan.objects.filter(key="teams").update(archived_at=timezone.now())
    store.rederive(workspace, cause="test")

    assert owner.status()["tier"] == "solo"
    assert owner.page(f"/o/{workspace.slug}/settings/pricing/").status == 200
