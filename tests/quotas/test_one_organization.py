"""Every hot statement stays inside the organizations that its call names.

The hot tables are made once more, distributed by organization over hash partitions, with the same
indexes; the engine's own functions are installed beside them and called as the writer calls them.
PostgreSQL counts per partition what a transaction scanned and changed.
"""

import re
from itertools import count

import pytest
from django.db import connection
from django.utils import timezone

from quotas.engine import asking, install, ledger
from quotas.engine.asking import use
from quotas.engine.decisions import Line
from quotas.models import Verb
from tests.factories.quotas import CreditFactory, limited

SHARDS = 5
TABLES = (
    "quota_head", "usage_limit", "plan_usage", "usage_event", "usage_reservation", "usage_credit",
)  # fmt: skip
serial = count(1)

INDEXES = """
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = %s
"""
OVERDUE = "UPDATE usage_reservation SET expires_at = created_at WHERE organization_id = %s"
COUNTED = """
SELECT relname,
       coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del
FROM pg_stat_xact_user_tables WHERE schemaname = 'shards'
"""


@pytest.fixture
def cursor(db):
    """Where the unqualified names of the functions are the distributed tables."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA shards")
        for table in TABLES:
            cursor.execute(
                f"CREATE TABLE shards.{table} (LIKE {table} INCLUDING DEFAULTS)"
                " PARTITION BY HASH (organization_id)"
            )
            for shard in range(SHARDS):
                cursor.execute(
                    f"CREATE TABLE shards.{table}_{shard} PARTITION OF shards.{table}"
                    f" FOR VALUES WITH (MODULUS {SHARDS}, REMAINDER {shard})"
                )
            cursor.execute(INDEXES, [table])
            for (definition,) in cursor.fetchall():
                cursor.execute(distributed(definition, table))
        cursor.execute("SET LOCAL search_path = shards, public")
        for name in install.FILES:
            cursor.execute((install.SQL / f"{name}.sql").read_text())
        yield cursor


def distributed(definition, table):
    """A key without the organization cannot be unique over shards, on no engine."""
    statement = definition.replace(f" ON public.{table} ", f" ON shards.{table} ")
    statement = statement.replace(f" ON ONLY public.{table} ", f" ON shards.{table} ")
    if "organization_id" not in statement.partition(" USING ")[2]:
        statement = statement.replace("CREATE UNIQUE INDEX", "CREATE INDEX")
    return statement


def organization(cursor, **limits):
    """Its rows stand in the shards, and nobody else's."""
    cursor.execute("SET LOCAL search_path = public")
    made = limited(
        storage=1_000, ai_queries={"amount": 5, "has_credits": True, "hard": False} | limits
    )
    CreditFactory.create(organization=made, meter="ai_queries", amount=1_000)
    cursor.execute("SET LOCAL search_path = shards, public")
    for table in TABLES:
        cursor.execute(
            f"INSERT INTO shards.{table} SELECT * FROM public.{table}"  # noqa: S608  our tables
            " WHERE organization_id = %s",
            [made.pk],
        )
    return made


def shards_of(cursor, *organizations):
    cursor.execute(
        "SELECT DISTINCT tableoid::regclass::text FROM quota_head WHERE organization_id = ANY (%s)",
        [[organization.pk for organization in organizations]],
    )
    return {name.rpartition("_")[2] for (name,) in cursor.fetchall()}


def counted(cursor):
    cursor.execute(COUNTED)
    return dict(cursor.fetchall())


def touched(cursor, before):
    """The shards of each table that was read or written since."""
    found = {}
    for name, number in counted(cursor).items():
        table, _, shard = name.rpartition("_")
        if table in TABLES and number != before.get(name, 0):
            found.setdefault(table, set()).add(shard)
    return found


def applied(cursor, *requests):
    answers = ledger.apply(cursor, requests, wait_ms=0)
    assert {row.outcome for rows in answers for row in rows} == {"applied"}
    return answers


def of(team, verb, meter, amount, *more, member="", **details):
    lines = [Line(meter, amount, member), *more]
    return use(verb, team.pk, lines, f"key-{next(serial)}", **details)


def test_every_verb_of_an_organization_reads_and_writes_its_own_shard_alone(cursor):
    team = organization(cursor)
    home = shards_of(cursor, team)
    before = counted(cursor)

    consumed = of(team, Verb.CONSUME, "ai_queries", 9)  # beyond the limit: burns credits
    applied(cursor, consumed)
    applied(cursor, of(team, Verb.CONSUME, "storage", 7, Line("ai_queries", 1)))
    applied(cursor, *[of(team, Verb.RECORD, "storage", 1) for _ in range(20)])
    replayed, _new = ledger.apply(
        cursor, [consumed, of(team, Verb.CONSUME, "storage", 1)], wait_ms=100
    )
    assert replayed[0].outcome == "replayed"
    held = applied(cursor, *[of(team, Verb.RESERVE, "storage", 5, seconds=60) for _ in range(3)])
    holds = [asking.reservation_id(team.pk, rows[0].sequence) for rows in held]
    applied(cursor, asking.end_of_hold(Verb.COMMIT, holds[0], 2))
    applied(cursor, asking.end_of_hold(Verb.VOID, holds[1], 0))
    applied(cursor, asking.release_by_key(team.pk, consumed.key))
    applied(cursor, asking.release_by_amount(team.pk, Line("storage", 1), "back"))
    applied(cursor, asking.level(team.pk, Line("storage", 50), timezone.now()))
    cursor.execute(OVERDUE, [team.pk])
    applied(cursor, of(team, Verb.CONSUME, "storage", 1))
    places = [(team.pk, "storage", ""), (team.pk, "ai_queries", "")]
    assert {row.outcome for row in ledger.read(cursor, places)} == {"ok"}

    found = touched(cursor, before)
    assert found.keys() == set(TABLES)
    assert {name for name, shards in found.items() if shards != home} == set()


def test_a_members_own_balance_is_in_the_shard_of_the_organization(cursor):
    team = organization(cursor, per_member=True)
    home = shards_of(cursor, team)
    before = counted(cursor)

    applied(cursor, of(team, Verb.CONSUME, "ai_queries", 9, member="one"))
    applied(cursor, of(team, Verb.CONSUME, "ai_queries", 1, member="two"))
    assert ledger.read(cursor, [(team.pk, "ai_queries", "one")])[0].reading.used == 9

    found = touched(cursor, before)
    assert {name for name, shards in found.items() if shards != home} == set()


def test_readings_of_several_organizations_touch_the_shards_of_these_alone(cursor):
    teams = [organization(cursor) for _ in range(4)]
    home = shards_of(cursor, *teams[:2])
    before = counted(cursor)

    ledger.read(cursor, [(team.pk, "storage", "") for team in teams[:2]])

    assert set.union(*touched(cursor, before).values()) == home


def test_a_batch_of_several_organizations_writes_in_the_shards_of_these_alone(cursor):
    teams = [organization(cursor) for _ in range(8)]
    named = teams[:4]
    home = shards_of(cursor, *named)
    before = counted(cursor)

    applied(cursor, *[of(team, Verb.CONSUME, "storage", 2) for team in named for _ in range(2)])
    applied(cursor, *[of(team, Verb.CONSUME, "storage", 3) for team in named])

    assert set.union(*touched(cursor, before).values()) == home
    places = [(team.pk, "storage", "") for team in named]
    assert [row.reading.used for row in ledger.read(cursor, places)] == [7] * 4


def test_whatever_is_written_names_its_organization():
    source = "\n".join((install.SQL / f"{name}.sql").read_text() for name in install.FILES)
    source = re.sub(r"--[^\n]*", "", source)
    tables = "|".join(TABLES)

    written = re.findall(rf"(?:UPDATE|DELETE FROM)\s+({tables})\b([^;]*);", source)

    assert written
    assert [table for table, rest in written if "organization_id" not in rest] == []
