"""Seeded bugs. Each changes one decision of the engine; the reference must notice every one.

A test that a mutant survives is a test that proves nothing about that line.
"""

import os

import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import RedisError

from quotas.engine import install, readings
from quotas.engine.install import SQL
from quotas.exceptions import Busy, OutcomeUnknown
from tests.properties.test_quota_model import WAYS, QuotaModel, hasty
from tests.quotas.conftest import _fresh_copies, _lanes_end, durable

__all__ = ["_fresh_copies", "_lanes_end", "durable", "hasty"]

pytestmark = [pytest.mark.verify, pytest.mark.usefixtures("durable", "hasty")]

# file, the line as it is, the bug
MUTANTS = {
    "the limit is off by one": (
        "usage_verdict", "WHEN amount > room AND (", "WHEN amount > room + 1 AND (",
    ),
    "holds take no room": (
        "apply_usage", "s_credits[s] - s_used[s] - s_held[s];", "s_credits[s] - s_used[s];",
    ),
    "another body is answered like the first": (
        "apply_usage", "ELSE mode := 'conflict'; END IF;\n            ELSIF r.same_key",
        "ELSE mode := 'replay'; END IF;\n            ELSIF r.same_key",
    ),
    "a key is forgotten": (
        "apply_usage", "ELSIF r.seen IS NOT NULL THEN", "ELSIF false THEN",
    ),
    "a refused group keeps its first lines": (
        "apply_usage", "s_used[s] := s_used[s] - o_delta[j];", "s_used[s] := s_used[s];",
    ),
    "a refused group keeps its credits": (
        "apply_usage",
        "PERFORM undo_usage_credit(p_orgs[j], p_meters[j], o_credited[j], r.moment);",
        "NULL;",
    ),
    "credits burn in the wrong order": (
        "usage_credits", "ORDER BY priority, expires_at NULLS LAST, id",
        "ORDER BY priority DESC, expires_at DESC NULLS FIRST, id",
    ),
    "expired credits still pay": (
        "usage_credits", "AND (expires_at IS NULL OR expires_at > p_moment)", "",
    ),
    "a lower limit bills what was used before it": (
        "usage_verdict", "ELSE least(amount - burned,", "ELSE least(1000000000000000,",
    ),
    "the cap is off by one": (
        "usage_verdict", "overage_cap < least(", "overage_cap + 1 < least(",
    ),
    "a hold lives one instant too long": (
        "apply_usage", "AND state = 'open' AND expires_at <= r.moment",
        "AND state = 'open' AND expires_at < r.moment",
    ),
    "late use lands in the present period": (
        "apply_usage", "coalesce(t.occurred, head.frozen_at, clock)",
        "coalesce(head.frozen_at, clock)",
    ),
    "a period includes its end": (
        "apply_usage", "clock) < l.period_end", "clock) <= l.period_end",
    ),
    "a commit frees only what it counts": (
        "settle_usage", "bal.held := bal.held - hold.amount;",
        "bal.held := bal.held - coalesce(nullif(p_amount, 0), hold.amount);",
    ),
    "a commit may exceed its hold": (
        "settle_usage", "p_amount > hold.amount", "p_amount > hold.amount + 1",
    ),
    "a hold is committed after its expiry": (
        "settle_usage", "OR hold.expires_at <= moment", "OR hold.expires_at < moment",
    ),
    "a release happens twice": (
        "settle_usage", "AND line < 0 AND month", "AND line < -99 AND month",
    ),
    "more is released than is used": (
        "settle_usage", "IF bal.used < p_amount THEN", "IF bal.used + 1 < p_amount THEN",
    ),
    "a release keeps its credits": (
        "settle_usage", "new_credited := least(bal.credited - past.credited,",
        "new_credited := least(bal.credited,",
    ),
    "a release keeps its overage": (
        "settle_usage", "least(bal.overage - past.billable,", "least(bal.overage,",
    ),
    "a plan without limits forgives what was billed": (
        "settle_usage", "CASE WHEN shortage IS NULL THEN bal.overage",
        "CASE WHEN shortage IS NULL THEN 0",
    ),
    "more is released by key than is used": (
        "settle_usage", "WHERE coalesce(balance.used, 0) < spent.total",
        "WHERE coalesce(balance.used, 0) + 1 < spent.total",
    ),
    "an older observation wins": (
        "settle_usage", "ELSIF p_observed < bal.observed_at THEN", "ELSIF false THEN",
    ),
    "a locked organization consumes": (
        "usage_verdict", "WHEN access = 'read_only' THEN", "WHEN access = 'never' THEN",
    ),
    "observe refuses": (
        "apply_usage", "enforced := r.enforcement = 'enforce';", "enforced := true;",
    ),
    "the remainder forgets credits": (
        "usage_credits", "- used - held, 0) + credits END", "- used - held, 0) END",
    ),
    "a record is refused": (
        "apply_usage", "CASE WHEN r.verb <> 'record' AND", "CASE WHEN",
    ),
    "a line by itself forgets what is held": (
        "apply_usage_line", "AND b.held = 0 AND", "AND",
    ),
    "a line by itself forgets its key": (
        "apply_usage_line", "AND e.key IS NULL AS", "AS",
    ),
    "a line by itself burns no credits": (
        "apply_usage_line", "AND NOT (l.has_credits AND l.kind = 'flow')", "",
    ),
    "a line by itself stays in its period": (
        "apply_usage_line", "AND l.period_start <= occurred_at AND occurred_at < l.period_end",
        "AND l.period_start <= occurred_at",
    ),
    "a line by itself refuses a record": (
        "apply_usage_line", "p_verb <> 'record' AND enforcement", "enforcement",
    ),
    "a line by itself refuses what is only observed": (
        "apply_usage_line", "OR enforcement <> 'enforce';", ";",
    ),
    "a line by itself bills a refusal": (
        "apply_usage_line", "    IF accepted THEN", "    IF true THEN",
    ),
    "a line by itself is everybody's": (
        "apply_usage_line", "CASE WHEN l.per_member THEN p_member ELSE '' END", "''",
    ),
    "a set forgets what is held": (
        "apply_usage_set", "AND b.held = 0", "",
    ),
    "a set forgets its keys": (
        "apply_usage_set", "AND e.key IS NULL AS is_everyday", "AS is_everyday",
    ),
    "a set burns no credits": (
        "apply_usage_set", "AND NOT (l.has_credits AND l.kind = 'flow')", "",
    ),
    "a set judges each of its lines alone": (
        "apply_usage_set", "billed.allowance + billed.credited - billed.now_used + billed.amount",
        "billed.allowance + billed.credited - billed.used",
    ),
    "a set bills each of its lines alone": (
        "apply_usage_set", "added.so_far - added.amount, 0) ELSE 0 END AS billed_before",
        "0, 0) ELSE 0 END AS billed_before",
    ),
    "a set gives all its lines one number": (
        "apply_usage_set", "line.sequence + row_number() OVER ledger AS number",
        "line.sequence + 1 AS number",
    ),
    "a set counts what fits and leaves the rest": (
        "apply_usage_set", "OVER (PARTITION BY billed.head) AS fits",
        "OVER (PARTITION BY billed.ord) AS fits",
    ),
    "a set stays in its period": (
        "apply_usage_set", "AND coalesce(head.frozen_at, clock) < l.period_end", "",
    ),
    "a set counts the late now": (
        "apply_usage_set", "greatest(l.period_start, coalesce(", "least(l.period_start, coalesce(",
    ),
    "a set is everybody's": (
        "apply_usage_set", "CASE WHEN l.per_member THEN t.member ELSE '' END", "''",
    ),
    "members share what is each one's own": (
        "apply_usage", "CASE WHEN l.per_member THEN t.member ELSE '' END AS slot_member",
        "''::text AS slot_member",
    ),
}  # fmt: skip

WAYS_OF = {"apply_usage": ("batch",), "apply_usage_line": ("line",), "apply_usage_set": ("set",)}

SHORT = settings(
    max_examples=int(os.environ.get("MUTANT_RUNS", "250")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    print_blob=False,
)


NO_VERDICT = (KeyboardInterrupt, Busy, OutcomeUnknown, RedisError, OperationalError)


@pytest.fixture
def repaired():
    """The functions as they are in the files, whatever a test made of them."""
    yield
    install.install()


def plant(file, line, bug):
    source = (SQL / f"{file}.sql").read_text()
    assert line in source, f"{file}.sql no longer has: {line}"
    with connection.cursor() as cursor:
        cursor.execute(source.replace(line, bug))


def is_noticed():
    """A machine that is too slow, or a server that is away, notices nothing."""
    try:
        run_state_machine_as_test(QuotaModel, settings=SHORT)
    except BaseException as noticed:
        if any(isinstance(error, NO_VERDICT) for error in causes(noticed)):
            raise
        return True
    return False


def causes(error):
    yield error
    for inner in getattr(error, "exceptions", ()):
        yield from causes(inner)


def test_the_reference_has_nothing_against_the_engine_as_it_is(repaired):
    install.install()

    run_state_machine_as_test(QuotaModel, settings=SHORT)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_reference_notices_that(name, repaired, monkeypatch):
    """By the way of deciding that has the bug; what all three share is sought in each."""
    file, line, bug = MUTANTS[name]
    monkeypatch.setattr(QuotaModel, "ways", WAYS_OF.get(file, WAYS))
    plant(file, line, bug)

    assert is_noticed(), f"{name}: nobody noticed"


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("a check is stricter than a consume", lambda fits: lambda r, n: fits(r, n + 1)),
        ("a check is laxer than a consume", lambda fits: lambda r, n: fits(r, n - 1)),
    ],
)
def test_the_reference_notices_that_in_readings(name, lie, monkeypatch):
    monkeypatch.setattr(readings, "_fits", lie(readings._fits))

    assert is_noticed(), f"{name}: nobody noticed"
