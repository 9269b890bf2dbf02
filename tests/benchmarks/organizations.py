"""Organizations in bulk: what the engine reads of each, without a plan behind it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from quotas.models import LARGEST_AMOUNT

METER = "ai_queries"
ALLOWANCE = LARGEST_AMOUNT // 2  # never reached, and looked at every time

_NEW = """
CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
SELECT gen_random_uuid() AS id FROM generate_series(1, %s)
"""
_HEADS = """
INSERT INTO quota_head (organization_id, sequence, limits_sequence, plan, access,
                        entitlement_sequence)
SELECT id, 0, 0, 'pro', 'full', 0 FROM fresh
"""
_LIMITS = """
INSERT INTO usage_limit (organization_id, meter, kind, refusal, amount, hard, per_member, overage,
                         period_rule, period_anchor, period_start, period_end, enforcement,
                         has_credits)
SELECT id, meter, kind, '', %(allowance)s, true, false, 'stop', 'month', %(start)s, %(start)s,
       %(end)s, 'enforce', false
FROM fresh, (VALUES (%(meter)s, 'flow'), ('api_calls', 'flow'), ('builds', 'flow'))
     AS meters(meter, kind)
"""
_BALANCES = """
INSERT INTO plan_usage (organization_id, meter, member, period_start, period_end, used, held,
                        credited, overage, checkpoint, updated_at)
SELECT organization_id, meter, '', period_start, period_end, 0, 0, 0, 0, 0, now()
FROM usage_limit WHERE organization_id IN (SELECT id FROM fresh)
"""
# Rows of the present month and the two before, as the ledger's probes meet them.
_LEDGER = """
INSERT INTO usage_event (
    organization_id, satellite_id, key, line, month, sequence, recorded_at, occurred_at, verb,
    meter, member, per_member, period_start, period_end, late, amount, delta, credited, billable,
    accepted, reason, fingerprint, used, held, allowance, remaining, overage, plan, enforcement)
SELECT h.organization_id, 0, md5(n::text || %(salt)s), 0,
       (date_trunc('month', now()) - make_interval(months => n %% 3))::date, n, now(), now(),
       'consume', %(meter)s, '', false, date_trunc('month', now()), now() + interval '1 month',
       false, 1, 1, 0, 0, true, NULL, n, n, 0, %(allowance)s, %(allowance)s, 0, 'pro', 'enforce'
FROM generate_series(1, %(rows)s) n
JOIN (SELECT organization_id, row_number() OVER () - 1 AS number FROM quota_head) h
     ON h.number = n %% %(total)s
ORDER BY h.organization_id, n
"""
_QUICKLY = """
SET work_mem = '512MB'; SET hash_mem_multiplier = 1; SET synchronous_commit = off; SET jit = off
"""
_SIZES = """
SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)),
       (SELECT count(*) FROM usage_event)
FROM pg_partition_tree('usage_event') WHERE isleaf
"""


def create(number: int) -> list[UUID]:
    """Each with three meters and their balances."""
    start, end = _month()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(_NEW, [number])
        cursor.execute(_HEADS)
        named: dict[str, Any] = {"allowance": ALLOWANCE, "start": start, "end": end, "meter": METER}
        cursor.execute(_LIMITS, named)
        cursor.execute(_BALANCES)
        cursor.execute("SELECT id FROM fresh")
        made = [row[0] for row in cursor.fetchall()]
        cursor.execute("COMMIT")
    return made


def fill_ledger(rows: int, salt: str) -> None:
    """In the order of the ledger's key: each page of it is met once per call, not once per row."""
    with connection.cursor() as cursor:
        cursor.execute(_QUICKLY)
        for back in range(3):
            cursor.execute(
                "SELECT ensure_usage_partition((date_trunc('month', now())"
                " - make_interval(months => %s))::date)",
                [back],
            )
        cursor.execute("SELECT count(*) FROM quota_head")
        (total,) = cursor.fetchone() or (0,)
        named: dict[str, Any] = {"rows": rows, "salt": salt, "meter": METER, "allowance": ALLOWANCE}
        cursor.execute(_LEDGER, named | {"total": total})
        cursor.execute("RESET ALL")


def bytes_per_event() -> tuple[float, float]:
    """Of the ledger's table, and of its indexes."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZES)
        (table, indexes, rows) = cursor.fetchone() or (0, 0, 0)
    return float(table) / max(rows, 1), float(indexes) / max(rows, 1)


def settle() -> None:
    """Statistics and hint bits as a running installation has them. Heads and balances are not
    vacuumed, not even by themselves: pages that change all the time are never all visible."""
    with connection.cursor() as cursor:
        for table in ("quota_head", "plan_usage"):
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        cursor.execute("VACUUM ANALYZE usage_limit, usage_event")
        cursor.execute("ANALYZE quota_head, plan_usage")
        cursor.execute("CHECKPOINT")


def empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_event DISABLE TRIGGER USER")
        cursor.execute(
            "TRUNCATE usage_event, plan_usage, usage_limit, quota_head, usage_reservation,"
            " usage_credit, benchmark_counter"
        )
        cursor.execute("ALTER TABLE usage_event ENABLE TRIGGER USER")


def counters(organizations: Sequence[UUID]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO benchmark_counter (organization_id, used, allowance)"
            " SELECT unnest(%s::uuid[]), 0, %s",
            [list(organizations), ALLOWANCE],
        )


def _month() -> tuple[datetime, datetime]:
    start = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, (start + timedelta(days=32)).replace(day=1)
