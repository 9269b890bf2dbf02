"""Partitions, overdue holds, credits and adjustments."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from config.celery import app
from quotas import allowances, tasks
from quotas.engine import enforcement, holds, partitions
from quotas.engine.periods import add_months
from quotas.exceptions import InvalidRequest, UnknownMeter
from quotas.models import Balance, Credit, LimitAdjustment, Reservation
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import change_head, limited

pytestmark = pytest.mark.django_db

STORAGE, QUERIES = "storage", "ai_queries"


@pytest.fixture
def on_sale(db):
    apply(catalog.current(), None, {})


def months_ago(count):
    return add_months(timezone.now().replace(day=1), -count)


def an_old_event(organization, recorded_at, key, delta=5):
    """A copy of the newest event, as if it had been recorded then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_usage_partition(%s)", [recorded_at.date()])
        cursor.execute(
            "INSERT INTO usage_event SELECT (jsonb_populate_record(e, jsonb_build_object("
            " 'key', %s::text, 'delta', %s::int, 'month', %s::date, 'recorded_at', %s::timestamptz"
            "))).* FROM usage_event e WHERE organization_id = %s LIMIT 1",
            [key, delta, recorded_at.date().replace(day=1), recorded_at, organization.pk],
        )


def ledger_sum(organization):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(delta), 0) FROM usage_event WHERE organization_id = %s",
            [organization.pk],
        )
        return cursor.fetchone()[0]


def test_the_next_months_are_ready():
    partitions.prepare()

    assert partitions.prepare() == []
    assert partitions.astray() == 0


def test_a_row_of_an_unprepared_month_counts_and_alarms():
    organization = limited(storage=100)
    enforcement.consume(organization, STORAGE, 5, idempotency_key="now")
    with connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO usage_event SELECT (jsonb_populate_record(e, \'{"month": "1999-01-01",'
            ' "key": "astray"}\')).* FROM usage_event e'
        )

    assert partitions.astray() == 1
    assert ledger_sum(organization) == 10


def test_rows_of_a_month_that_nobody_prepared_move_into_it_once_it_is_made(caplog):
    organization = limited(storage=100)
    enforcement.consume(organization, STORAGE, 5, idempotency_key="now")
    month = months_ago(-2).date()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE usage_event_{month:%Y%m}")
        cursor.execute(
            "INSERT INTO usage_event SELECT (jsonb_populate_record(e, jsonb_build_object("
            " 'month', %s::date, 'key', 'astray'))).* FROM usage_event e",
            [month],
        )

    made = partitions.prepare()

    assert made == [f"usage_event_{month:%Y%m}"]
    assert (partitions.astray(), ledger_sum(organization)) == (0, 10)
    assert "alert.usage_event_without_partition" in caplog.text
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="append-only"):
        cursor.execute("DELETE FROM usage_event")


def test_dropping_a_month_keeps_the_balances_explained():
    organization = limited(storage=100)
    enforcement.consume(organization, STORAGE, 5, idempotency_key="now")
    an_old_event(organization, months_ago(5), "old", delta=7)
    Balance.objects.update(used=12)

    gone = partitions.drop_older_than(4)

    balance = Balance.objects.get()
    assert gone == [f"usage_event_{months_ago(5):%Y%m}"]
    assert balance.checkpoint == 7
    assert balance.checkpoint + ledger_sum(organization) == balance.used


def test_the_last_three_months_are_never_dropped():
    organization = limited(storage=100)
    enforcement.consume(organization, STORAGE, 5, idempotency_key="now")
    an_old_event(organization, months_ago(2), "old")

    assert partitions.drop_older_than(0) == []


def test_a_key_is_known_for_the_months_that_35_days_can_span():
    organization = limited(storage=100)
    enforcement.consume(organization, STORAGE, 5, idempotency_key="k")
    first = enforcement.consume(organization, STORAGE, 5, idempotency_key="copy")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_event DISABLE TRIGGER usage_event_append_only")
        recorded_at = timezone.now() - timedelta(days=35)
        cursor.execute("SELECT ensure_usage_partition(%s)", [recorded_at.date()])
        cursor.execute(
            "UPDATE usage_event SET month = date_trunc('month', %s::timestamptz), recorded_at = %s"
            " WHERE key = 'copy'",
            [recorded_at, recorded_at],
        )
        cursor.execute("ALTER TABLE usage_event ENABLE TRIGGER usage_event_append_only")

    again = enforcement.consume(organization, STORAGE, 5, idempotency_key="copy")

    assert again.replayed
    assert again.event_id == first.event_id


def test_overdue_holds_are_freed():
    organization, other = limited(ai_queries=10), limited(ai_queries=10)
    for of in (organization, other):
        enforcement.reserve(of, QUERIES, 4, idempotency_key="h", expires_in=60)
    change_head(organization, frozen_at=timezone.now() + timedelta(seconds=61))

    assert holds.expire_overdue() == 1

    assert Balance.objects.get(organization=organization).held == 0
    assert Balance.objects.get(organization=other).held == 4
    assert Reservation.objects.filter(state="expired").count() == 1
    assert holds.expire_overdue() == 0


def test_the_tasks_may_run_at_any_time():
    tasks.expire_holds()
    tasks.keep_partitions()


@pytest.mark.usefixtures("on_sale")
def test_bought_credits_count_at_once_and_once():
    organization = OrganizationFactory.create()

    for _ in range(2):
        allowances.add_credits(organization, QUERIES, 500, reason="a pack", reference="in_1")

    decision = enforcement.check(organization, QUERIES)
    assert decision.remaining == 1500
    assert Credit.objects.count() == 1


@pytest.mark.usefixtures("on_sale")
def test_only_flows_have_credits():
    organization = OrganizationFactory.create()

    with pytest.raises(UnknownMeter):
        allowances.add_credits(organization, STORAGE, 500, reason="a pack")


@pytest.mark.usefixtures("on_sale")
def test_an_add_on_pack_raises_a_limit_at_once():
    organization = OrganizationFactory.create()

    allowances.adjust_limit(
        organization, STORAGE, LimitAdjustment.Mode.ADD, 10 * 2**30, reason="+10 GB"
    )

    assert enforcement.check(organization, STORAGE).limit == 12 * 2**30


@pytest.mark.usefixtures("on_sale")
@pytest.mark.parametrize(("amount", "reason"), [(-1, "x"), (5, " "), (10**15 + 1, "x")])
def test_an_adjustment_has_a_reason_and_a_possible_amount(amount, reason):
    organization = OrganizationFactory.create()

    with pytest.raises(InvalidRequest):
        allowances.adjust_limit(
            organization, STORAGE, LimitAdjustment.Mode.SET, amount, reason=reason
        )


def test_no_task_may_run_so_long_that_the_broker_gives_it_to_another():
    app.autodiscover_tasks(force=True)
    ours = {
        name: task.time_limit or app.conf.task_time_limit
        for name, task in app.tasks.items()
        if not name.startswith("celery.")
    }

    again_after = app.conf.broker_transport_options["visibility_timeout"]

    assert set(ours) >= {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert [name for name, limit in ours.items() if limit >= again_after] == []
