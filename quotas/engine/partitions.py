"""The ledger's months: made ahead, dropped after the retention, alarmed when one was missing."""

from datetime import date
from typing import Final

import structlog
from django.db import connection, transaction
from django.utils import timezone

from quotas.engine.periods import add_months

logger = structlog.get_logger(__name__)

AHEAD: Final = 2  # months: a beat that is silent for weeks still finds its partition
# Keys answer for at least 35 days and are looked for in three months (DESIGN 4.4).
LEAST_RETAINED: Final = 3

_NAMES = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'usage_event'::regclass AND c.relname ~ '^usage_event_[0-9]{6}$'
ORDER BY c.relname
"""
_ASTRAY = "SELECT count(*) FROM usage_event_default WHERE month = %s"
_COPY_BACK = "INSERT INTO usage_event SELECT * FROM usage_event_default WHERE month = %s"
# Detached, it has no trigger of the ledger any more.
_LEAVE = "DELETE FROM usage_event_default WHERE month = %s"
_SUM_UP = """
CREATE TEMPORARY TABLE usage_gone ON COMMIT DROP AS
SELECT g.*, h.frozen_at IS NULL AND b.period_end < now() - interval '6 months' AS at_rest
FROM (
    SELECT organization_id, meter, CASE WHEN per_member THEN member ELSE '' END AS member,
           period_start, sum(delta) AS total
    FROM {partition} GROUP BY 1, 2, 3, 4
) g
JOIN plan_usage b USING (organization_id, meter, member, period_start)
LEFT JOIN quota_head h USING (organization_id)
WHERE g.total <> 0
"""
# What the month had added up to moves into the balances, so that their sums stay explained.
_CHECKPOINT = """
UPDATE plan_usage b SET checkpoint = b.checkpoint + gone.total
FROM usage_gone gone
WHERE b.organization_id = gone.organization_id AND b.meter = gone.meter
  AND b.member = gone.member AND b.period_start = gone.period_start AND gone.at_rest = %s
"""


def prepare() -> list[str]:
    """Makes this month's partition and the next ones. Returns those that are new."""
    now = timezone.now().replace(day=1)
    months = [add_months(now, ahead).date() for ahead in range(AHEAD + 1)]
    return [_name(month) for month in months if _make(month)]


def _make(month: date) -> bool:
    """PostgreSQL makes none while the default partition has rows of that month: they move along."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ASTRAY, [month])
        (rows,) = cursor.fetchone() or (0,)
        if not rows:
            cursor.execute("SELECT ensure_usage_partition(%s)", [month])
            return bool(cursor.fetchone() == (True,))
        # Decisions wait meanwhile; after four seconds they matter more, and the next run tries.
        cursor.execute("SET LOCAL lock_timeout = '4s'")
        cursor.execute("LOCK TABLE usage_event IN ACCESS EXCLUSIVE MODE")
        cursor.execute("ALTER TABLE usage_event DETACH PARTITION usage_event_default")
        cursor.execute("SELECT ensure_usage_partition(%s)", [month])
        cursor.execute(_COPY_BACK, [month])
        cursor.execute(_LEAVE, [month])
        cursor.execute("ALTER TABLE usage_event ATTACH PARTITION usage_event_default DEFAULT")
    logger.error("alert.usage_event_without_partition", rows=rows, moved_to=_name(month))
    return True


def astray() -> int:
    """Rows that no month was prepared for. They count, and each is an alarm."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_event_default")
        (rows,) = cursor.fetchone() or (0,)
    if rows:
        logger.error("alert.usage_event_without_partition", rows=rows)
    return int(rows)


def drop_older_than(months: int) -> list[str]:
    """Drops whole months before the last `months`, this one included. Returns what is gone."""
    oldest = add_months(timezone.now().replace(day=1), 1 - max(months, LEAST_RETAINED))
    with connection.cursor() as cursor:
        cursor.execute(_NAMES)
        names = [name for (name,) in cursor.fetchall()]
    gone = [name for name in names if name < _name(oldest.date())]
    for name in gone:
        _drop(name)
    return gone


def _drop(name: str) -> None:
    """One transaction: the balances take over the sums of the rows that it takes away.

    What takes long, adding up and the balances that nobody uses any more, is done while decisions
    go on: nothing is ever added to a month that is over. They wait for the rest.
    """
    quoted = connection.ops.quote_name(name)
    with transaction.atomic(), connection.cursor() as cursor:
        # For so long decisions queue up behind us; then they matter more, and the next run tries.
        cursor.execute("SET LOCAL lock_timeout = '4s'; SET LOCAL jit = off")
        cursor.execute(f"LOCK TABLE {quoted} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(_SUM_UP.format(partition=quoted))
        cursor.execute("ANALYZE usage_gone")
        cursor.execute(_CHECKPOINT, [True])
        cursor.execute(f"LOCK TABLE ONLY usage_event, {quoted} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(_CHECKPOINT, [False])
        cursor.execute(f"ALTER TABLE usage_event DETACH PARTITION {quoted}")
        cursor.execute(f"DROP TABLE {quoted}")
    logger.info("usage.partition_dropped", partition=name)


def _name(month: date) -> str:
    return f"usage_event_{month:%Y%m}"
