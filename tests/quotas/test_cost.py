"""What a call costs does not grow with what an organization has done before.

Statistics stay those of a young installation, as they are in its first hours: a plan that is
right only for what they say is found here.
"""

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.utils import timezone

from quotas.engine import asking, ledger
from quotas.engine.asking import use
from quotas.engine.decisions import Line
from quotas.models import Balance, Rollup, RollupMark, Verb
from quotas.reading import rollups
from tests.benchmarks.explaining import buffers
from tests.factories.quotas import limited

pytestmark = pytest.mark.usefixtures("durable")

BATCH = 200
FEW = 20  # of the verbs that are settled one by one
YOUNG, OLD = 500, 20_000
GROWTH = 1.5  # an index that is one level taller

HISTORY = """
INSERT INTO usage_event (
    organization_id, satellite_id, key, line, month, sequence, recorded_at, occurred_at, verb,
    meter, member, per_member, period_start, period_end, late, amount, delta, credited, billable,
    accepted, reason, fingerprint, used, held, allowance, remaining, overage, plan, enforcement)
SELECT b.organization_id, 0, 'key-' || n, 0, date_trunc('month', now()), n, now(), now(),
       'consume', b.meter, '', false, b.period_start, b.period_end, false, 1, 1, 0, 0, true, NULL,
       n, n, 0, NULL, NULL, 0, 'pro', 'enforce'
FROM generate_series(%(first)s, %(last)s) n
JOIN plan_usage b ON b.organization_id = %(team)s AND b.meter = 'storage' AND b.member = ''
"""
ENDED_HOLDS = """
INSERT INTO usage_reservation (
    organization_id, number, satellite_id, key, meter, member, balance_member, period_start,
    period_end, amount, expires_at, state, created_at, ended_at)
SELECT organization_id, 1000000 + n, 0, 'ended-' || n, meter, '', '', period_start, period_end, 1,
       now(), 'committed', now(), now()
FROM generate_series(%(first)s, %(last)s) n
JOIN plan_usage b ON b.organization_id = %(team)s AND b.meter = 'storage' AND b.member = ''
"""
FORMER_PERIODS = """
INSERT INTO plan_usage (organization_id, meter, member, period_start, period_end, used, held,
                        credited, overage, checkpoint, updated_at)
SELECT %(team)s, 'storage', 'member-' || n, now() - interval '2 months', now(), 1, 0, 0, 0, 0, now()
FROM generate_series(%(first)s, %(last)s) n
"""
SPENT_CREDITS = """
INSERT INTO usage_credit (organization_id, meter, amount, remaining, priority, starts_at, reason)
SELECT %(team)s, 'ai_queries', 1, 0, 100, now(), 'spent'
FROM generate_series(%(first)s, %(last)s) n
"""
# Recorded evenly over the last weeks, and summed up.
WEEKS = HISTORY.replace(
    "n, now(), now(),", "n, now() - n * interval '90 s', now() - n * interval '90 s',"
).replace("date_trunc('month', now()), n", "date_trunc('month', now() - n * interval '90 s'), n")
SUMMARIZE = """
SELECT brin_summarize_new_values(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'brin' AND c.relkind = 'i' AND c.relname LIKE 'usage_event%%'
"""
ROWS_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables
WHERE relname LIKE 'usage_event%%'
"""
HOT_TABLES = ("usage_event", "plan_usage", "usage_reservation", "usage_credit", "quota_head")
serial = count(1)

Call = Callable[[ledger.Executes], object]


@pytest.fixture
def team():
    """An organization of which PostgreSQL knows a few rows, and learns of no more."""
    team = limited(storage=None, ai_queries={"amount": 10**6, "has_credits": True})
    with_autovacuum(False)
    apply(consumes("first", "storage", team) + consumes("first", "ai_queries", team))
    Balance.objects.filter(organization=team).update(used=10_000)
    run(f"ANALYZE {', '.join(HOT_TABLES)}")
    yield team
    with_autovacuum(True)


def with_autovacuum(enabled):
    with connection.cursor() as cursor:
        cursor.execute("SELECT relid::regclass FROM pg_partition_tree('usage_event') WHERE isleaf")
        leaves = [name for (name,) in cursor.fetchall()]
    for table in {*HOT_TABLES, *leaves} - {"usage_event"}:
        run(f"ALTER TABLE {table} SET (autovacuum_enabled = {str(enabled).lower()})")


def run(statement, values=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def lives(team, first, last):
    """What an organization leaves behind in its months."""
    for statement in (HISTORY, ENDED_HOLDS, FORMER_PERIODS, SPENT_CREDITS):
        run(statement, {"team": team.pk, "first": first, "last": last})


def apply(requests):
    with connection.cursor() as cursor:
        return ledger.apply(cursor, requests, wait_ms=0)


def applied(requests):
    return lambda cursor: ledger.apply(cursor, requests, wait_ms=0)


def consumes(key, meter, team, verb=Verb.CONSUME, number=BATCH, **more):
    return [
        use(verb, team.pk, [Line(meter, 1)], f"{key}-{meter}-{next(serial)}", **more)
        for _ in range(number)
    ]


def of_new_keys(team):
    return applied(consumes("new", "ai_queries", team))


def of_known_keys(team):
    line = Line("storage", 1)
    return applied([use(Verb.CONSUME, team.pk, [line], f"key-{n + 1}") for n in range(BATCH)])


def of_holds(team):
    return applied(consumes("hold", "storage", team, Verb.RESERVE, seconds=900))


def of_ends_of_holds(team):
    holds = apply(consumes("held", "storage", team, Verb.RESERVE, FEW, seconds=900))
    names = [asking.reservation_id(team.pk, rows[0].sequence) for rows in holds]
    return applied([asking.end_of_hold(Verb.COMMIT, name, 1) for name in names])


def of_releases_by_key(team):
    spent = consumes("spent", "storage", team, number=FEW)
    apply(spent)
    return applied([asking.release_by_key(team.pk, request.key) for request in spent])


def of_releases_by_amount(team):
    line = Line("storage", 1)
    keys = [f"back-{next(serial)}" for _ in range(FEW)]
    return applied([asking.release_by_amount(team.pk, line, key) for key in keys])


def of_levels(team):
    line = Line("storage", 10_000)
    return applied([asking.level(team.pk, line, timezone.now()) for _ in range(FEW)])


def of_readings(team):
    places = [(team.pk, meter, "") for meter in ("storage", "ai_queries")] * (BATCH // 2)
    return lambda cursor: ledger.read(cursor, places)


CALLS: tuple[Callable[..., Call], ...] = (
    of_new_keys, of_known_keys, of_holds, of_ends_of_holds, of_releases_by_key,
    of_releases_by_amount, of_levels, of_readings,
)  # fmt: skip


def costs(team):
    """Of the second call of each kind: the first one also pays for the plans."""
    found = {}
    for call in CALLS:
        with connection.cursor() as cursor:
            buffers(cursor, call(team))
            found[call.__name__] = buffers(cursor, call(team))
    return found


def grown(before, after):
    return {
        name: (before[name], pages)
        for name, pages in after.items()
        if pages > before[name] * GROWTH
    }


def test_no_call_costs_more_because_of_what_was_there_before(team):
    lives(team, 1, YOUNG)
    young = costs(team)
    lives(team, YOUNG + 1, OLD)

    with_the_same_plans = costs(team)
    run("DISCARD PLANS")
    with_new_plans = costs(team)

    assert grown(young, with_the_same_plans) == {}
    assert grown(young, with_new_plans) == {}


def rows_read():
    run("SELECT pg_stat_force_next_flush()")
    return int(run(ROWS_READ)[0][0])


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=3)], ids=["in time", "late"])
def test_what_is_new_is_summed_up_without_reading_all_that_is_old(team, late):
    run("SELECT ensure_usage_partition((now() - interval '1 month')::date)")
    run(WEEKS, {"team": team.pk, "first": 1, "last": OLD})
    RollupMark.objects.create(name=rollups.MARK, recorded_until=timezone.now())
    run(SUMMARIZE)
    apply(consumes("last", "storage", team, Verb.RECORD, FEW, occurred_at=timezone.now() - late))
    before = rows_read()

    rollups.catch_up()

    read = rows_read() - before
    assert Rollup.objects.filter(organization=team, meter="storage", events__gte=FEW).exists()
    assert read < OLD / 2
