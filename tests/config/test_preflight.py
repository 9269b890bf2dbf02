"""Doctor, smoke run and support report, against the simulator and real servers."""

import json
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from djstripe.models import APIKey

from billing import catalog, evidence
from billing.catalog import loading
from billing.catalog.apply import apply
from billing.gateway import breaker, stripe_api
from billing.insight import pulse
from billing.models import (
    BillingAccount,
    Evidence,
    InboxEvent,
    OutboxMessage,
    PlanPrice,
    Pulse,
    Subscription,
)
from billing.subscription import checkout
from billing.subscription.checkout import Order
from billing.subscription.opening import CheckoutNotOpen
from config.preflight import doctor, smoke, support_report
from orgs.models import AuditEntry
from tests.billing.stripe_events import drain_all
from tests.factories.orgs import InvitationFactory, OrganizationFactory, UserFactory, owner_of


@pytest.fixture
def installation(transactional_db, live_server, settings, stripe_simulator, redis_server):
    """Everything as it should be: pages under test that hear Stripe, prices, a beat."""
    settings.SITE_URL = live_server.url
    secret = settings.STRIPE_WEBHOOK_SECRETS[0]
    stripe_simulator.set_webhook(f"{live_server.url}/webhooks/stripe", secret)
    apply(catalog.current(), stripe_api, {})
    stripe_api.client().v1.billing_portal.configurations.create(
        {"features": {"payment_method_update": {"enabled": True}}}
    )
    pulse.mark(pulse.BEAT)
    yield stripe_simulator
    stripe_simulator.set_delivery("hold")
    breaker.answered()


def seen(*, named=None):
    found = {each.name: each for each in doctor.examine()}
    return found[named] if named else found


def bad(found):
    return {name for name, each in found.items() if each.outcome == "failed"}


def patiently(condition):
    """The worker's part is done here; Stripe's deliveries come by themselves."""
    deadline = time.monotonic() + 30
    while not condition():
        drain_all()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# --- Doctor -----------------------------------------------------------------------------------


def test_a_healthy_installation_has_nothing_that_fails(installation):
    found = seen()

    tests_alone = {"settings", "durability"}  # plain HTTP, and a PostgreSQL that never syncs
    assert bad(found) <= tests_alone, found
    for name in ("stripe-key", "webhook-endpoint", "webhook-events", "webhook-secret", "prices",
                 "portal", "clock", "beat", "synchronous-commit", "redis-eviction",
                 "redis-append-only", "stored-keys", "mode-of-rows", "database-clock"):  # fmt: skip
        assert found[name].outcome == "ok", found[name]


def test_each_thing_that_is_wrong_is_found_and_named(installation, settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_" + "of_another_endpoint"]
    installation.set_webhook(
        f"{settings.SITE_URL}/webhooks/stripe",
        settings.STRIPE_WEBHOOK_SECRETS[0],
        enabled_events=["invoice.paid"],
        api_version="2020-08-27",
    )
    found = seen()
    assert "charge.dispute.closed" in found["webhook-events"].said
    assert "2020-08-27" in found["webhook-api-version"].said
    assert "webhook-secret" not in bad(found), "web and doctor run with the same settings here"
    settings.SITE_URL = "http://127.0.0.1:9"
    PlanPrice.objects.on_sale().update(unit_amount=1)
    APIKey.objects.create(secret="sk_test_" + "x" * 24, livemode=False, type="secret")
    InboxEvent.objects.create(
        event_id="evt_1", type="invoice.paid", livemode=False, payload={}, state="dead"
    )
    accounts = BillingAccount.objects.filter(organization=OrganizationFactory.create())
    accounts.update(stripe_customer_id="cus_live", livemode=True)

    found = seen()

    assert {"webhook-endpoint", "webhook-secret", "prices", "stored-keys"} <= bad(found)
    assert found["inbox"].outcome == "warning"
    assert found["mode-of-rows"].outcome == "warning"
    assert "127.0.0.1:9" in found["webhook-endpoint"].said


def test_settings_and_a_background_that_customers_would_suffer_from_are_named(
    installation, settings
):
    settings.ALLOWED_HOSTS = ["*"]
    settings.ADMIN_REQUIRES_MFA = False
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    settings.STRIPE_WEBHOOK_SECRETS = []
    settings.STRIPE_ACCOUNT_ID = "acct_of_somebody_else"
    long_ago = timezone.now() - timedelta(days=8)
    Pulse.objects.update(at=long_ago)
    letter = OutboxMessage.objects.create(kind="mail.x", once_per="1", next_attempt_at=long_ago)
    waiting = InboxEvent.objects.create(
        event_id="evt_1", type="invoice.paid", livemode=False, payload={}, received_at=long_ago
    )
    evidence.store(Evidence.Kind.SMOKE, passed=False, summary="the webhook never came", report={})
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")

    found = seen()

    with connection.cursor() as cursor:
        cursor.execute("RESET synchronous_commit")
    assert {"allowed-hosts", "admin-mfa", "mail", "webhook-secret", "stripe-key", "beat", "inbox",
            "outbox", "smoke", "synchronous-commit"} <= bad(found)  # fmt: skip
    assert "acct_of_somebody_else" in found["stripe-key"].said
    assert "the webhook never came" in found["smoke"].said
    assert found["staff"].outcome == "warning"

    Pulse.objects.all().delete()
    OutboxMessage.objects.filter(pk=letter.pk).update(state=OutboxMessage.State.DEAD)
    waiting.delete()
    UserFactory.create(is_superuser=True, is_staff=True)
    settings.CATALOG, settings.DEBUG = "tokens", True

    found = seen()

    assert found["beat"].said == "Beat has never run."
    assert found["catalogue"].outcome == "failed"
    assert found["outbox"].outcome == found["settings"].outcome == "warning"
    assert found["staff"].outcome == "ok"


def test_a_redis_that_evicts_is_told_to_stop(installation, redis_server):
    """C27: it evicts queued tasks; without a limit of memory nothing is lost meanwhile."""
    redis_server.config_set("maxmemory-policy", "allkeys-lru")
    try:
        evicts = seen(named="redis-eviction")
    finally:
        redis_server.config_set("maxmemory-policy", "noeviction")

    assert evicts.outcome == "failed"
    assert "allkeys-lru" in evicts.said
    assert "noeviction" in evicts.hint


def test_without_a_key_or_with_stripe_away_the_doctor_still_answers(installation, settings):
    installation.fault("GET /v1/account", "http_500", times=2)
    assert "stripe-key" in bad(seen())
    installation.clear_faults()
    breaker.answered()

    settings.STRIPE_SECRET_KEY = ""

    found = seen()
    assert found["stripe-key"].outcome == "failed"
    assert found["portal"].outcome == "skipped"


def test_the_doctors_answer_is_for_programs_too_and_stays_on_file(installation, capsys):
    APIKey.objects.create(secret="sk_test_" + "x" * 24, livemode=False, type="secret")

    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")

    answer = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert answer["passed"] is False
    kept = Evidence.objects.get(pk=answer["evidence"])
    assert (kept.kind, kept.passed) == ("doctor", False)
    assert kept.report["findings"] == answer["findings"]
    assert AuditEntry.objects.filter(action="evidence.doctor").exists()


def test_staff_see_what_was_found_and_look_again(installation, admin_client, settings):
    settings.ADMIN_REQUIRES_MFA = False
    assert admin_client.post(reverse("admin:preflight-examine")).status_code == 302

    page = admin_client.get(reverse("admin:preflight")).content.decode()

    assert "webhook-secret" in page
    assert Evidence.objects.get().author is not None
    assert "Doctor and smoke" in admin_client.get(reverse("admin:index")).content.decode()


# --- Smoke ------------------------------------------------------------------------------------


def test_the_smoke_run_walks_the_whole_way_in_test_mode(installation):
    steps = []

    kept = smoke.run(wait=patiently, on_step=steps.append)

    assert kept.passed, kept.report
    assert [each.name for each in steps] == [
        "checkout", "return", "webhook", "provisioning", "portal", "seat-gate",
    ]  # fmt: skip
    assert {each.outcome for each in steps} == {"ok"}
    assert not Subscription.objects.live().exists()
    assert smoke.run(wait=patiently).passed, "a second run finds the first one's organization"
    assert installation.violations() == []


@pytest.mark.verify
@pytest.mark.parametrize("name", loading.shipped())
def test_the_smoke_run_walks_every_catalogue(installation, settings, name):
    settings.CATALOG = name
    apply(catalog.current(), stripe_api, {})

    kept = smoke.run(wait=patiently)

    assert kept.passed, kept.report
    assert installation.violations() == []


def test_the_smoke_run_in_live_mode_charges_nothing(installation, settings, monkeypatch):
    settings.STRIPE_LIVE_MODE = True
    settings.STRIPE_TEST_CLOCKS = False
    settings.CATALOG = "workspaces"
    apply(catalog.current(), stripe_api, {})
    PlanPrice.objects.update(livemode=True)
    team = OrganizationFactory.create()
    with pytest.raises(CheckoutNotOpen):
        checkout.start(team, owner_of(team), Order(plan_key="teams"))
    installation.clear_requests()

    kept = smoke.run(wait=as_live)

    assert kept.passed, kept.report
    assert kept.livemode
    assert not [
        call for call in installation.requests() if "subscriptions" in call and "POST" in call
    ]
    assert checkout.start(team, owner_of(team), Order(plan_key="teams")).url
    failing = evidence.store(Evidence.Kind.SMOKE, passed=False, summary="broke", report={})
    with pytest.raises(CheckoutNotOpen):
        checkout.start(team, owner_of(team), Order(plan_key="teams"))
    assert failing.livemode


def as_live(condition):
    """The simulator's events say that they are of test mode; here they are not."""

    def look():
        InboxEvent.objects.filter(state="ignored", type="checkout.session.expired").update(
            livemode=True, state="waiting", note=""
        )
        return condition()

    return patiently(look)


def test_a_webhook_that_does_not_arrive_fails_the_run_and_what_comes_after_is_not_tried(
    installation,
):
    installation.set_delivery("drop")

    kept = smoke.run(wait=lambda condition: condition())

    outcomes = {each["name"]: each["outcome"] for each in kept.report["findings"]}
    assert not kept.passed
    assert outcomes["checkout"] == "ok"
    assert outcomes["webhook"] == "failed"
    assert outcomes["portal"] == "skipped"
    assert doctor.smoke_run().outcome == "failed"


# --- Support report ---------------------------------------------------------------------------


CANARY = "canary7f3"


@pytest.mark.django_db
def test_no_secret_and_no_personal_data_leaves_in_the_support_report(settings, tmp_path):
    settings.STRIPE_SECRET_KEY = ""
    settings.STRIPE_ACCOUNT_ID = f"acct_{CANARY}"
    settings.SUPPORT_EMAIL = f"{CANARY}@example.com"
    settings.SITE_URL = f"https://{CANARY}.example.com"
    settings.STRIPE_WEBHOOK_SECRETS = [f"whsec_{CANARY}"]
    apply(catalog.current(), None, {})
    organization = OrganizationFactory.create(
        name=CANARY, slug=CANARY, billing_email=f"{CANARY}@example.com"
    )
    InvitationFactory.create(organization=organization, email=f"{CANARY}@invited.example.com")
    OutboxMessage.objects.create(
        organization=organization,
        kind="mail.receipt",
        once_per=CANARY,
        payload={"to": CANARY},
        last_error=f"SMTPRecipientsRefused: {{'{CANARY}@example.com': (550, '{CANARY}')}}",
    )
    for number, note in enumerate((f"{CANARY} broke", f"ValueError: {CANARY}", f"/srv/{CANARY}/x")):
        InboxEvent.objects.create(
            event_id=f"evt_{number}{CANARY}",
            type="invoice.paid",
            livemode=False,
            payload={"name": CANARY, "key": f"sk_live_{CANARY}"},
            headers={"User-Agent": CANARY},
            state="dead",
            note=note,
        )
    evidence.attach(
        evidence.Attachment(summary=CANARY, file_name=CANARY, content=CANARY.encode()), author=None
    )
    pulse.mark(f"mail to {CANARY}@example.com")

    call_command("support_report", str(tmp_path / "report.json"))

    text = (tmp_path / "report.json").read_text()
    assert CANARY not in text
    assert settings.SECRET_KEY not in text
    report = json.loads(text)
    assert report["counts"]["inbox"] == {"dead": 3}
    assert report["troubles"]["unsent"][0]["error"] == "SMTPRecipientsRefused"
    assert len(text) < 20_000


@pytest.mark.parametrize(
    "text",
    [
        "mail to ha@example.com bounced",
        "https://example.com/o/acme?token=x refused",
        "customer cus_NffrFeUfNV2Hib is gone",
        "key sk_live_51Habcdefghijkl expired",
        "organization 2f1c1f4e-9a55-4b3c-8d2f-0a1b2c3d4e5f",
        "open /srv/ha/secret/plan.pdf failed",
        "from 203.0.113.9",
        "Key (slug)=('acme') exists",
    ],
)
def test_what_names_a_person_a_customer_or_a_place_is_cut_out(text):
    cleaned = support_report.clean(text)

    for word in ("ha@", "acme", "NffrF", "51Hab", "2f1c1f4e", "/srv", "203.0"):
        assert word not in cleaned
