"""Events that cannot be applied, or must not be (A19, A21, A25, A31, A35)."""

import logging
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from billing.entitlement import store
from billing.gateway.webhooks import processing, replay
from billing.models import InboxEvent, PlanPrice
from orgs import audit
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of

pytestmark = pytest.mark.django_db

LONG_AGO = "2020-01-01T00:00Z"


def _bought(stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    return organization


def _rounds(count):
    for _round in range(count):
        InboxEvent.objects.waiting().update(next_attempt_at=LONG_AGO)
        waiting = InboxEvent.objects.waiting().values_list("customer_id", flat=True)
        for customer_id in set(waiting):
            processing.drain(customer_id)


# --- Poison ------------------------------------------------------------------------------------


@pytest.fixture
def poisoned(monkeypatch):
    """An object that dj-stripe fails on, whatever the event; returns how to poison and heal it."""
    ids: set[str] = set()
    apply = processing._mirror_event

    def mirror_event(row):
        if row.object_id in ids:
            raise KeyError(f"dj-stripe stumbles over {row.object_id}")
        apply(row)

    monkeypatch.setattr(processing, "_mirror_event", mirror_event)
    return ids


def test_a_poisoned_event_becomes_a_dead_letter_and_holds_up_nobody(stripe, poisoned, caplog):
    """A31."""
    organization = _bought(stripe)
    (method,) = stripe.simulator.events("payment_method.attached")
    poisoned.add(method["data"]["object"]["id"])

    stripe.deliver_all(organization)
    assert store.current(organization).plan.key == "pro"
    with caplog.at_level(logging.ERROR):
        _rounds(processing.MAX_ATTEMPTS)

    dead = InboxEvent.objects.dead().get()
    assert (dead.event_id, dead.attempts) == (method["id"], processing.MAX_ATTEMPTS)
    assert dead.note.startswith("KeyError: ")
    assert "alert.stripe_event_dead" in caplog.text
    assert not InboxEvent.objects.waiting().exists()


def test_the_retries_of_a_poisoned_event_come_ever_later(stripe, poisoned):
    """A31: within minutes at first, an hour apart in the end."""
    delays = [processing._delay(attempt).total_seconds() for attempt in range(1, 13)]

    assert delays[0] < 10
    assert delays[:8] == sorted(delays[:8])
    assert 2_000 < max(delays) < 4_600


def test_a_dead_letter_is_replayed_by_hand_once_its_cause_is_gone(stripe, poisoned):
    """A31 and H7."""
    organization = _bought(stripe)
    (method,) = stripe.simulator.events("payment_method.attached")
    poisoned.add(method["data"]["object"]["id"])
    stripe.deliver_all(organization)
    _rounds(processing.MAX_ATTEMPTS)
    poisoned.clear()

    report = replay.replay(InboxEvent.objects.dead(), actor=audit.SYSTEM)

    assert (report.done, report.failed) == (1, 0)
    assert not InboxEvent.objects.dead().exists()
    assert organization.payment_methods.get().last4 == "4242"


def test_an_event_that_could_not_be_stored_as_it_was_is_replayed_from_stripe(stripe):
    """A17: quarantined with its NUL replaced; what it was about is fetched anew."""
    organization = _bought(stripe)
    (completed,) = stripe.simulator.events("checkout.session.completed")
    completed["data"]["object"]["metadata"]["note"] = "a\x00b"
    stripe.deliver([completed])
    assert store.current(organization).plan.key == "hobby"

    replay.replay(InboxEvent.objects.dead(), actor=audit.SYSTEM)

    assert store.current(organization).plan.key == "pro"


# --- What must not be believed -----------------------------------------------------------------


def test_an_unknown_price_grants_nothing_and_raises_an_alert(stripe, caplog):
    """A19: somebody made a price in Stripe's dashboard."""
    organization = _bought(stripe)
    PlanPrice.objects.update(stripe_price_id=None)

    stripe.deliver_all(organization)

    effective = store.current(organization)
    assert effective.plan.key == "hobby"
    assert "unknown_price" in {step["outcome"] for step in effective.trace}
    assert "alert.subscription_grants_nothing" in caplog.text


def test_a_subscription_of_the_other_mode_grants_nothing(stripe, settings):
    """A20, through real rows: a live installation sees a test subscription."""
    organization = _bought(stripe)
    stripe.deliver_all(organization)
    settings.STRIPE_LIVE_MODE = True

    effective = store.rederive(organization, cause="test")

    assert effective.plan.key == "hobby"
    assert "other_mode" in {step["outcome"] for step in effective.trace}


@pytest.mark.parametrize("kind", ["customer.subscription.updated", "invoice.paid"])
def test_an_event_that_names_another_organization_waits_for_a_person(stripe, kind, caplog):
    """A21: the customer's row decides whose it is; a contradiction is nobody's to resolve."""
    organization, other = OrganizationFactory.create_batch(2)
    stripe.buy(organization)
    stripe.deliver_all(organization)
    about = organization.subscriptions.get() if "sub" in kind else organization.invoices.get()
    named = {"metadata": {"organization": str(other.pk)}}
    told = stripe.simulator.emit(kind, about.stripe_id, overrides={"data": {"object": named}})

    stripe.deliver([told])

    assert InboxEvent.objects.get(event_id=told["id"]).state == InboxEvent.State.DEAD
    assert "alert.stripe_event_misdirected" in caplog.text
    assert store.current(other).plan.key == "hobby"
    assert store.current(organization).plan.key == "pro"


@pytest.mark.parametrize("version", ["2020-08-27", None])
def test_an_event_of_another_api_version_is_fetched_in_ours(stripe, version, caplog):
    """A25."""
    organization = _bought(stripe)

    stripe.deliver(event | {"api_version": version} for event in stripe.history_of(organization))

    assert store.current(organization).plan.key == "pro"
    assert "stripe.api_version_drift" in caplog.text


# --- Secrets -----------------------------------------------------------------------------------

API_KEY = "sk_test_" + "51CanaryCanaryCanaryCanary00"
WEBHOOK_SECRET = "whsec_" + "canarycanarycanarycanary"


@pytest.fixture
def canary(settings):
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = API_KEY
    settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]


@pytest.fixture
def printed():
    """Everything that is logged from DEBUG on, as our own formatter prints it."""
    root = logging.getLogger()
    console = next(
        one for one in root.handlers if one.formatter and "structlog" in str(type(one.formatter))
    )
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(console.formatter)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def test_no_secret_is_ever_stored_or_logged(canary, stripe, monkeypatch, printed):
    """A35: every text and JSON column of every table, dj-stripe's too, and all that was logged.

    The address of a portal's session opens it for whoever has it (B19).
    """
    organization = _bought(stripe)
    token = api_token_for(owner_of(organization), scopes=["read", "write"])
    bearer = {"authorization": f"Bearer {token}"}
    stripe.client.get("/api/v1/billing/status", headers=bearer)
    portal = stripe.client.post(
        "/api/v1/billing/portal",
        {"organization": organization.slug, "scope": "org"},
        content_type="application/json",
        headers=bearer,
    ).json()["portal_url"]
    secrets = (API_KEY, WEBHOOK_SECRET, token, portal)
    stripe.deliver_all(organization)
    _fail_with_secrets(stripe, organization, monkeypatch)
    call_command("catalog", "diff")

    found = [where for secret in secrets for where in _columns(secret)]

    assert found == []
    logged = printed.getvalue()
    assert "stripe.event_failed" in logged
    assert "[redacted]" in logged
    for secret in secrets:
        assert secret not in logged


def _fail_with_secrets(stripe, organization, monkeypatch):
    """An exception whose text holds the keys, as some of stripe's and requests' do."""

    def fail(row):
        raise RuntimeError(f"Invalid API Key provided: {API_KEY} (secret {WEBHOOK_SECRET})")

    monkeypatch.setattr(processing, "_mirror_event", fail)
    told = stripe.simulator.emit("customer.updated", stripe.customer_of(organization))
    stripe.deliver([told])
    monkeypatch.undo()
    assert "[redacted]" in InboxEvent.objects.get(event_id=told["id"]).note


def _columns(secret):
    """Every place in the database that holds this text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public'"
            " AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'ARRAY')"
        )
        columns = cursor.fetchall()
        assert len(columns) > 300
        for table, column in columns:
            holds = sql.SQL("SELECT 1 FROM {} WHERE strpos({}::text, %s) > 0 LIMIT 1")
            cursor.execute(holds.format(sql.Identifier(table), sql.Identifier(column)), [secret])
            if cursor.fetchone():
                yield f"{table}.{column}"


def test_the_search_for_secrets_finds_one(stripe):
    """A35: shows that the test above can fail."""
    InboxEvent.objects.create(
        event_id="evt_x", type="x", livemode=False, payload={"deep": [{"key": API_KEY}]}
    )

    assert list(_columns(API_KEY)) == ["billing_inboxevent.payload"]
