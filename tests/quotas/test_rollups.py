"""Roll-ups: whole, late, doubled, concurrent, and always what the ledger says."""

from datetime import UTC, timedelta

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from quotas.engine.enforcement import consume, record, release_amount
from quotas.models import Balance, Rollup, RollupMark, UsageEvent
from quotas.reading import rollups
from tests.factories.quotas import change_head, limited

pytestmark = pytest.mark.django_db


def totals(organization, **wanted):
    rows = Rollup.objects.filter(organization=organization, **({"dimension": ""} | wanted))
    return rows.aggregate(net=Sum("added", default=0) - Sum("removed", default=0))["net"]


def hour_of(at):
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def test_an_hour_and_its_day_add_up_what_the_ledger_says():
    team = limited(storage=1000)
    consume(team, "storage", 70, member="ann", idempotency_key="a")
    consume(team, "storage", 30, member="bob", idempotency_key="b")
    release_amount(team, "storage", 20, member="ann")

    rollups.catch_up()

    assert totals(team, grain="hour") == 80
    assert totals(team, grain="day") == 80
    assert totals(team, grain="day", member="ann") == 50
    ann = Rollup.objects.get(organization=team, grain="day", member="ann")
    assert (ann.added, ann.removed, ann.events) == (70, 20, 2)


def test_a_refusal_is_counted_as_a_refusal_and_as_nothing_else():
    team = limited(ai_queries=5)
    consume(team, "ai_queries", 6, idempotency_key="too-much")

    rollups.catch_up()

    row = Rollup.objects.get(organization=team, grain="hour")
    assert (row.added, row.events, row.refused) == (0, 1, 1)


def test_each_declared_dimension_has_rows_of_its_own():
    team = limited(ai_queries=100)
    mini = {"model": "mini", "feature": "chat"}
    consume(team, "ai_queries", 3, idempotency_key="a", dimensions=mini)
    consume(team, "ai_queries", 4, idempotency_key="b", dimensions={"model": "large"})

    rollups.catch_up()

    assert totals(team, grain="day") == 7
    assert totals(team, grain="day", dimension="model=mini") == 3
    assert totals(team, grain="day", dimension="model=large") == 4
    assert totals(team, grain="day", dimension="feature=chat") == 3


def test_running_again_changes_nothing():
    team = limited(ai_queries=100)
    consume(team, "ai_queries", 3, idempotency_key="a")
    rollups.catch_up()
    before = list(Rollup.objects.order_by("pk").values())

    rollups.catch_up()

    assert list(Rollup.objects.order_by("pk").values()) == before


def test_a_late_event_joins_the_hour_and_the_period_in_which_it_happened():
    team = limited(ai_queries=100)
    record(team, "ai_queries", 5, idempotency_key="on-time")
    rollups.catch_up()
    happened = timezone.now() - timedelta(days=34)

    record(team, "ai_queries", 7, idempotency_key="late", occurred_at=happened)
    rollups.catch_up()

    late = Rollup.objects.get(organization=team, grain="hour", bucket=hour_of(happened))
    event = UsageEvent.objects.get(organization=team, key="late")
    assert (late.added, late.period_start) == (7, event.period_start)
    assert totals(team, grain="day") == 12


def test_sums_over_a_period_equal_its_balance():
    team = limited(ai_queries=100, storage=1000)
    now = timezone.now()
    for day in range(0, 34, 3):
        record(
            team,
            "ai_queries",
            day + 1,
            idempotency_key=f"day-{day}",
            occurred_at=now - timedelta(days=day),
        )
    consume(team, "storage", 400, idempotency_key="file")

    rollups.catch_up()

    balances = Balance.objects.filter(organization=team)
    assert balances.count() > 2
    for balance in balances:
        summed = totals(team, grain="day", meter=balance.meter, period_start=balance.period_start)
        assert summed == balance.used


def test_a_frozen_clock_in_the_future_is_summed_up_in_its_own_time():
    team = limited(storage=1000)
    future = timezone.now() + timedelta(days=400)
    change_head(team, frozen_at=future)
    consume(team, "storage", 5, idempotency_key="first")
    rollups.catch_up()
    consume(team, "storage", 6, idempotency_key="second")

    rollups.catch_up()

    row = Rollup.objects.get(organization=team, grain="hour")
    assert (row.bucket, row.added) == (hour_of(future), 11)


def test_the_organizations_whose_usage_moved_are_named():
    moved, quiet = limited(ai_queries=10), limited(ai_queries=10)
    rollups.catch_up()

    consume(moved, "ai_queries", 1, idempotency_key="a")

    assert rollups.catch_up() >= {moved.pk}
    assert quiet.pk not in rollups.catch_up()


def test_a_backlog_is_worked_off_in_steps():
    team = limited(ai_queries=10)
    consume(team, "ai_queries", 1, idempotency_key="a")
    long_ago = timezone.now() - 3 * rollups.STEP
    RollupMark.objects.create(name=rollups.MARK, recorded_until=long_ago)

    first = rollups.run()
    rollups.catch_up()

    assert first.until == long_ago + rollups.STEP
    assert first.organizations == frozenset()
    assert totals(team, grain="day") == 1


@pytest.mark.django_db(transaction=True)
def test_a_row_that_commits_after_a_run_is_not_missed(durable):
    team = limited(ai_queries=10)
    consume(team, "ai_queries", 1, idempotency_key="seen")
    with _other_connection() as slow, slow.transaction():
        _append(slow, team, "slow")
        rollups.catch_up()
        mark = rollups.updated_at()
        started = slow.execute("SELECT now()").fetchone()[0]

    rollups.catch_up()

    assert mark <= started
    assert totals(team, grain="hour") == 3


@pytest.mark.django_db(transaction=True)
def test_a_second_worker_leaves_the_work_to_the_first():
    with _other_connection() as first, first.transaction():
        first.execute("SELECT pg_advisory_xact_lock(%s)", [rollups._LOCK])

        progress = rollups.run()

    assert progress is None


def test_rebuilding_removes_what_the_ledger_does_not_say():
    team, other = limited(ai_queries=10), limited(ai_queries=10)
    consume(team, "ai_queries", 4, idempotency_key="a")
    consume(other, "ai_queries", 2, idempotency_key="a")
    rollups.catch_up()
    Rollup.objects.filter(organization=team, grain="day").update(added=99)
    Rollup.objects.filter(organization=team, grain="hour").update(member="nobody")

    rollups.rebuild(team.pk)

    assert totals(team, grain="day") == totals(team, grain="hour") == 4
    assert totals(team, grain="hour", member="nobody") == 0
    assert totals(other, grain="day") == 2


def test_staleness_is_the_age_of_the_mark():
    RollupMark.objects.create(
        name=rollups.MARK, recorded_until=timezone.now() - timedelta(seconds=90)
    )

    stale = rollups.staleness_seconds()
    with transaction.atomic():
        rollups.catch_up()

    assert 89 < stale < 120
    assert rollups.staleness_seconds() < 30


def _other_connection():
    settings = connection.get_connection_params()
    named = {
        name: settings[name]
        for name in ("dbname", "user", "password", "host", "port")
        if settings.get(name)
    }
    return psycopg.connect(**named, autocommit=True)


def _append(other, team, key):
    """A row as a transaction of the caller's would leave it, before that transaction commits."""
    other.execute(
        "INSERT INTO usage_event SELECT organization_id, satellite_id, %s, line, month,"
        " sequence + 1, clock_timestamp(), occurred_at, verb, meter, member, period_start,"
        " period_end, late, 2, 2, credited, billable, accepted, reason, fingerprint, used + 2,"
        " held, allowance, remaining, overage, plan, enforcement, dimensions FROM usage_event"
        " WHERE organization_id = %s AND key = 'seen'",
        [key, team.pk],
    )
