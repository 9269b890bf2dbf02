"""Stripe, Redis or our own worker away or dying half way (A26, A27, A29, A30, A32)."""

import random
import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from celery import current_app
from django.core import mail
from django.db import connection, transaction

from billing import tasks
from billing.entitlement import store
from billing.gateway import breaker, locks, stripe_api
from billing.gateway.webhooks import processing
from billing.gateway.webhooks.handled import HANDLED
from billing.messages import outbox
from billing.models import InboxEvent, OutboxMessage
from billing.subscription import receivers
from tests.billing.outcomes import outcome
from tests.billing.stripe_events import drain_all, post
from tests.factories.orgs import OrganizationFactory
from tests.processes import running, wait_until

pytestmark = pytest.mark.django_db

LONG_AGO = "2020-01-01T00:00Z"


def _arrive(stripe, organization):
    """The history is in the inbox and nothing has been applied; how many events await a worker."""
    history = stripe.history_of(organization)
    for event in history:
        assert post(stripe.client, event).status_code == 200
    return sum(event["type"] in HANDLED for event in history)


def _bought(stripe):
    organization = OrganizationFactory.create()
    stripe.buy(organization, seats=2)
    _arrive(stripe, organization)
    return organization


def _try_again():
    """As the sweeper does when the retries are due."""
    InboxEvent.objects.waiting().update(next_attempt_at=LONG_AGO)
    drain_all()


def _receipts(organization):
    return OutboxMessage.objects.filter(organization=organization, kind="mail.receipt").count()


# --- Stripe is away ----------------------------------------------------------------------------


@pytest.fixture
def hasty(settings):
    """A second is too long for these tests, as eight are in production."""
    settings.STRIPE_TIMEOUT_SECONDS = 0.3
    stripe_api.configure_module()
    yield
    settings.STRIPE_TIMEOUT_SECONDS = 8.0
    stripe_api.configure_module()


@pytest.mark.parametrize(
    "kind", ["http_500", "http_429", "reset_connection", "slow", "partial_body"]
)
@pytest.mark.parametrize(
    "endpoint", ["GET /v1/subscriptions/*", "GET /v1/customers/*", "GET /v1/test_helpers/*"]
)
def test_while_stripe_fails_the_events_wait_and_none_of_them_is_blamed(
    stripe, hasty, endpoint, kind
):
    """A30: acknowledged already, tried again later, and no attempt is counted."""
    organization = _bought(stripe)
    stripe.simulator.fault(endpoint, kind, times=2, seconds=1)

    processing.drain(stripe.customer_of(organization))

    assert store.current(organization).plan.key == "hobby"
    assert InboxEvent.objects.waiting().exists()
    assert set(InboxEvent.objects.values_list("attempts", flat=True)) == {0}
    stripe.simulator.clear_faults()
    _try_again()
    assert store.current(organization).plan.key == "pro"
    assert not InboxEvent.objects.waiting().exists()


def test_while_stripe_is_slow_a_customer_is_given_back_between_its_events(stripe, monkeypatch):
    """Whoever waits for it, to found an organization say, waits for no long list of events."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    for event in stripe.history_of(organization):
        post(stripe.client, event)
    monkeypatch.setattr(processing, "_LONGEST_HOLD", 0.0)

    turns = [processing.drain(stripe.customer_of(organization)) for _turn in range(20)]

    assert turns[0].done == 1
    assert turns[0].more
    assert not turns[-1].more
    assert store.current(organization).plan.key == "pro"
    assert not InboxEvent.objects.waiting().exists()


def test_a_revoked_key_kills_no_event(stripe, settings):
    """A30: as long as an outage lasts, however often we try."""
    organization = _bought(stripe)
    key = settings.STRIPE_SECRET_KEY
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = "revoked"

    for _attempt in range(processing.MAX_ATTEMPTS + 1):
        _try_again()
        breaker.answered()

    assert not InboxEvent.objects.dead().exists()
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = key
    _try_again()
    assert store.current(organization).plan.key == "pro"


def test_after_three_failures_stripe_is_left_alone_for_a_while(stripe):
    """A30: a worker must not spend its hours waiting for timeouts."""
    organization = _bought(stripe)
    stripe.simulator.fault("GET /v1/*", "http_500", times=100)
    for _attempt in range(breaker.FAILURES):
        InboxEvent.objects.update(next_attempt_at=LONG_AGO)
        processing.drain(stripe.customer_of(organization))
    stripe.simulator.clear_faults()
    InboxEvent.objects.update(next_attempt_at=LONG_AGO)
    stripe.simulator.clear_requests()

    drained = processing.drain(stripe.customer_of(organization))

    assert drained.done == 0
    assert stripe.simulator.requests() == {}
    breaker.answered()
    drain_all()
    assert store.current(organization).plan.key == "pro"


# --- Redis is away -----------------------------------------------------------------------------


@pytest.fixture
def no_broker():
    """Nobody listens where Celery publishes."""
    former = current_app.conf.broker_url
    _publish_to("redis://127.0.0.1:1/0")
    yield lambda: _publish_to(former)
    _publish_to(former)


def _publish_to(url):
    app: Any = current_app
    app.conf.broker_url = url
    app._pool = app.amqp._producer_pool = None


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_events_are_acknowledged_quickly_and_the_sweeper_runs_them(
    stripe, no_broker, redis_server
):
    """A29."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    started = time.monotonic()

    arrived = _arrive(stripe, organization)

    assert time.monotonic() - started < 2
    assert redis_server.llen("webhooks") == 0
    assert InboxEvent.objects.waiting().count() == arrived
    no_broker()
    current_app.conf.task_always_eager = True
    tasks.sweep_inbox()
    current_app.conf.task_always_eager = False
    assert store.current(organization).plan.key == "pro"


@pytest.mark.django_db(transaction=True)
def test_with_a_broker_an_event_calls_its_worker_at_once(stripe, redis_server):
    """A29: the sweeper is the exception."""
    organization = OrganizationFactory.create()
    stripe.buy(organization)
    redis_server.flushdb()

    arrived = _arrive(stripe, organization)

    assert redis_server.llen("webhooks") == arrived


# --- We die half way ---------------------------------------------------------------------------


class _Crash(Exception):
    pass


def _crashing_at(statement):
    """A wrapper of the connection that fails once, before the n-th statement."""
    seen = 0

    def wrapper(execute, sql, params, many, context):
        nonlocal seen
        seen += 1
        if seen == statement:
            raise _Crash
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


def _count_statements(customer_id):
    count = 0

    def wrapper(execute, *args):
        nonlocal count
        count += 1
        return execute(*args)

    with transaction.atomic(), connection.execute_wrapper(wrapper):
        processing.drain(customer_id)
        transaction.set_rollback(True)
    return count


def _crash_and_recover(stripe, organization, statements):
    """Where it stands after each crash, and where it ends after the retry; all is undone."""
    customer_id = stripe.customer_of(organization)
    for statement in statements:
        with transaction.atomic():
            with suppress(_Crash), _crashing_at(statement):  # after the commit it goes up
                processing.drain(customer_id)
            crashed = outcome(organization)
            store.rederive(organization, cause="check")
            rederived = outcome(organization)
            receipts = _receipts(organization)
            _try_again()
            yield crashed, rederived, receipts, outcome(organization), _receipts(organization)
            transaction.set_rollback(True)


def _prove_crashes(stripe, statements_of):
    organization = _bought(stripe)
    store.current(organization)
    count = _count_statements(stripe.customer_of(organization))
    statements = statements_of(count)

    for crashed, rederived, receipts, end, receipts_at_end in _crash_and_recover(
        stripe, organization, statements
    ):
        assert crashed == rederived, "the plan and the rows it rests on disagree"
        assert receipts <= (crashed["plan"] == "pro")
        assert (end["plan"], end["seats"], end["source"]) == ("pro", 2, "stripe")
        assert [row["status"] for row in end["invoices"]] == ["paid"]
        assert receipts_at_end == 1
    assert not mail.outbox


def test_a_crash_leaves_all_or_nothing_and_the_retry_completes(stripe):
    """A26, at a dozen places between the first statement and the last."""
    places = random.Random(26)  # noqa: S311 (a repeatable choice is wanted)
    _prove_crashes(stripe, lambda count: sorted(places.sample(range(1, count + 1), 12)))


@pytest.mark.verify
def test_a_crash_at_any_statement_leaves_all_or_nothing_and_the_retry_completes(stripe):
    """A26, before every single statement."""
    _prove_crashes(stripe, lambda count: range(1, count + 1))


def test_nobody_hears_of_what_was_rolled_back(stripe, monkeypatch):
    """A27: the message is a row of the transaction that causes it."""
    organization = _bought(stripe)
    monkeypatch.setattr(receivers, "_end_what_must_not_live", _crash)
    processing.drain(stripe.customer_of(organization))

    outbox.deliver_due()

    assert not OutboxMessage.objects.exists()
    assert not mail.outbox


def _crash(*args):
    raise _Crash


def test_who_dies_between_the_commit_and_the_mail_sends_it_later_and_once(stripe, monkeypatch):
    """A27: the row is there, whoever drains it."""
    organization = _bought(stripe)
    drain_all()
    monkeypatch.setitem(outbox._senders, "mail", _crash)
    outbox.deliver_due()
    monkeypatch.undo()
    OutboxMessage.objects.update(next_attempt_at=LONG_AGO)

    for _beat in range(3):
        outbox.deliver_due()

    assert _receipts(organization) == 1
    assert len(mail.outbox) == OutboxMessage.objects.filter(kind__startswith="mail.").count()


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_gives_its_customer_back_at_once(stripe, redis_server):
    """A32: kill -9 in the middle of a fetch; the sweeper finds the rows due and the lock free."""
    organization = _bought(stripe)
    customer_id = stripe.customer_of(organization)
    stripe.simulator.fault("GET /v1/subscriptions/*", "slow", seconds=8)
    drain = (
        "import django; django.setup();"
        "from billing.gateway.webhooks import processing;"
        f"processing.drain({customer_id!r})"
    )

    with running(sys.executable, "-c", drain) as process:
        wait_until(lambda: not _is_free(customer_id), seconds=30)
        process.kill()
        process.wait()
        wait_until(lambda: _is_free(customer_id), seconds=30)

    assert store.current(organization).plan.key == "hobby"
    assert set(InboxEvent.objects.waiting().values_list("attempts", flat=True)) == {0}
    current_app.conf.task_always_eager = True
    tasks.sweep_inbox()
    current_app.conf.task_always_eager = False
    assert store.current(organization).plan.key == "pro"
    assert _receipts(organization) == 1


def _is_free(customer_id):
    with transaction.atomic():
        return locks.try_customer(customer_id)
