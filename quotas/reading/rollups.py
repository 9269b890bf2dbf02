"""Sums of the ledger per hour and day. Recomputed whole: order and repetition do not matter.

A row of the ledger becomes visible only when its transaction commits, which is later than its
`recorded_at`. So the mark of what is summed up stays behind the oldest open transaction, and no
row can slip in behind it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction

from billing.entitlement.clock import database_now
from quotas.models import RollupMark, UsageEvent

logger = structlog.get_logger(__name__)

MARK: Final = "ledger"
# How much recorded time one transaction sums up, so that a backlog is worked off in steps.
STEP: Final = timedelta(minutes=30)
# Hours before this are searched by organization: what is late may lie anywhere since then.
_RECENT: Final = timedelta(hours=2)
# Open transactions of another database role show no start: read a little twice.
_OVERLAP: Final = timedelta(seconds=10)
_AHEAD: Final = timedelta(minutes=5)  # of `recorded_at`, an `occurred_at` may be at most
_LOCK: Final = 5_230_118  # of this work, in PostgreSQL's advisory locks

_HORIZON = """
SELECT clock_timestamp(), min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL
  AND backend_type = 'client backend'
"""
_DIRTY = """
CREATE TEMPORARY TABLE usage_dirty ON COMMIT DROP AS
SELECT DISTINCT e.organization_id, e.meter, date_trunc('hour', e.occurred_at, 'UTC') AS hour,
       h.frozen_at IS NULL AND date_trunc('hour', e.occurred_at, 'UTC') >= %(recent)s AS recent,
       -- What has a clock of its own may have been recorded at any time.
       CASE WHEN h.frozen_at IS NULL THEN date_trunc('hour', e.occurred_at, 'UTC') - %(ahead)s
            ELSE 'epoch' END AS recorded_since
FROM usage_event e LEFT JOIN quota_head h ON h.organization_id = e.organization_id
WHERE e.recorded_at >= %(since)s AND e.recorded_at < %(until)s AND e.month >= %(month)s
"""
# Where older partitions were dropped, only what was recorded after them can be summed up again.
_FLOOR = """
SELECT CASE WHEN EXISTS (SELECT 1 FROM plan_usage
                         WHERE organization_id = %(organization)s AND checkpoint <> 0)
            THEN (SELECT min(month)::timestamp AT TIME ZONE 'UTC' FROM usage_event)
            ELSE 'epoch'::timestamptz END
"""
_DIRTY_OF = """
CREATE TEMPORARY TABLE usage_dirty ON COMMIT DROP AS
SELECT DISTINCT e.organization_id, e.meter, date_trunc('hour', e.occurred_at, 'UTC') AS hour,
       false AS recent, 'epoch'::timestamptz AS recorded_since
FROM usage_event e WHERE e.organization_id = %(organization)s AND e.occurred_at >= %(floor)s
"""
_CLEAR = "DELETE FROM usage_rollup WHERE organization_id = %(organization)s AND bucket >= %(floor)s"
_COLUMNS = """
    organization_id, grain, meter, bucket, period_start, member, satellite_id, dimension,
    added, removed, events, refused
"""
_STORE = """
ON CONFLICT (organization_id, grain, meter, bucket, period_start, member, satellite_id, dimension)
DO UPDATE SET added = excluded.added, removed = excluded.removed, events = excluded.events,
              refused = excluded.refused
WHERE (usage_rollup.added, usage_rollup.removed, usage_rollup.events, usage_rollup.refused)
   IS DISTINCT FROM (excluded.added, excluded.removed, excluded.events, excluded.refused)
"""
_HOURS = f"""
INSERT INTO usage_rollup ({_COLUMNS})
SELECT e.organization_id, 'hour', e.meter, d.hour, e.period_start, e.member, e.satellite_id,
       split.dimension, sum(greatest(e.delta, 0)), sum(greatest(-e.delta, 0)), count(*),
       count(*) FILTER (WHERE NOT e.accepted)
FROM usage_dirty d
JOIN usage_event e ON e.organization_id = d.organization_id AND e.meter = d.meter
     AND e.occurred_at >= d.hour AND e.occurred_at < d.hour + interval '1 hour'
CROSS JOIN LATERAL (
    SELECT '' UNION ALL SELECT key || '=' || value FROM jsonb_each_text(e.dimensions)
) AS split(dimension)
WHERE d.recent = %(recent)s AND e.recorded_at >= %(bound)s AND e.month >= %(month)s
GROUP BY 1, 3, 4, 5, 6, 7, 8
{_STORE}
"""  # noqa: S608  constants of this module
_DAYS = f"""
INSERT INTO usage_rollup ({_COLUMNS})
SELECT r.organization_id, 'day', r.meter, d.day, r.period_start, r.member, r.satellite_id,
       r.dimension, sum(r.added), sum(r.removed), sum(r.events), sum(r.refused)
FROM (SELECT DISTINCT organization_id, meter, date_trunc('day', hour, 'UTC') AS day
      FROM usage_dirty) d
JOIN usage_rollup r ON r.organization_id = d.organization_id AND r.grain = 'hour'
     AND r.meter = d.meter AND r.bucket >= d.day AND r.bucket < d.day + interval '1 day'
GROUP BY 1, 3, 4, 5, 6, 7, 8
{_STORE}
"""  # noqa: S608  constants of this module
# Plans of a young partition are guesses. What is recent lies together at the ledger's end, where
# the summaries find it: a search by organization would read all that it ever did.
_BY_SUMMARIES = "SET LOCAL enable_nestloop = off; SET LOCAL enable_indexscan = off"
_BY_ORGANIZATION = "SET LOCAL enable_nestloop = on; SET LOCAL enable_indexscan = on"


@dataclass(frozen=True, slots=True)
class Progress:
    """`organizations` are those whose usage moved; `behind` is how much is still to be read."""

    organizations: frozenset[UUID]
    until: datetime
    behind: timedelta


def run(*, wait: bool = False) -> Progress | None:
    """One step. None when another worker is at it (C36), unless it is to be waited for."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not _locked(cursor, wait=wait):
            return None
        now, horizon = _horizon(cursor)
        since = _since(now)
        until = min(since + STEP, horizon)
        # Up to the end: what lies between the horizon and now is read now, and once more later.
        last = until >= horizon
        window = {"since": since - _OVERLAP, "until": now if last else until}
        _mark_dirty(cursor, window, now)
        organizations = _sum_up(cursor)
        RollupMark.objects.update_or_create(
            name=MARK, defaults={"recorded_until": max(since, until)}
        )
        return Progress(organizations, max(since, until), now - max(since, until))


def catch_up(*, wait: bool = False) -> frozenset[UUID]:
    """All steps up to now; the organizations whose usage moved."""
    moved: set[UUID] = set()
    while (progress := run(wait=wait)) is not None:
        moved |= progress.organizations
        if progress.behind < STEP:
            break
    return frozenset(moved)


def rebuild(organization: UUID) -> None:
    """Every retained hour of an organization, and nothing that the ledger does not say."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(_FLOOR, {"organization": organization})
        values = {"organization": organization, "floor": cursor.fetchone()[0]}
        cursor.execute(_DIRTY_OF, values)
        cursor.execute(_CLEAR, values)
        _sum_up(cursor)


def updated_at() -> datetime | None:
    """Everything recorded before it is in the roll-ups; None before the first run."""
    return RollupMark.objects.filter(name=MARK).values_list("recorded_until", flat=True).first()


def staleness_seconds() -> float:
    """The metric of C45: how old the newest roll-ups are. 0 while there is no usage to sum up."""
    mark = updated_at()
    if mark is None:
        first = _first_recorded()
        return 0.0 if first is None else max((database_now() - first).total_seconds(), 0.0)
    return max((database_now() - mark).total_seconds(), 0.0)


def _locked(cursor: Any, *, wait: bool) -> bool:
    if wait:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        return True
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
    return bool(cursor.fetchone()[0])


def _horizon(cursor: Any) -> tuple[datetime, datetime]:
    cursor.execute(_HORIZON)
    now, oldest = cursor.fetchone()
    return now, now if oldest is None else min(now, oldest)


def _since(now: datetime) -> datetime:
    return updated_at() or _first_recorded() or now


def _first_recorded() -> datetime | None:
    return UsageEvent.objects.order_by("recorded_at").values_list("recorded_at", flat=True).first()


def _mark_dirty(cursor: Any, window: dict[str, datetime], now: datetime) -> None:
    recent = now - _RECENT
    month = _month(window["since"])
    cursor.execute("SET LOCAL enable_seqscan = off")
    cursor.execute(_DIRTY, {**window, "recent": recent, "month": month, "ahead": _AHEAD})


def _sum_up(cursor: Any) -> frozenset[UUID]:
    cursor.execute("SET LOCAL jit = off")
    cursor.execute("ANALYZE usage_dirty")
    cursor.execute("SELECT recent, min(recorded_since) FROM usage_dirty GROUP BY recent")
    for recent, bound in cursor.fetchall():
        cursor.execute(_BY_SUMMARIES if recent else _BY_ORGANIZATION)
        cursor.execute(_HOURS, {"recent": recent, "bound": bound, "month": _month(bound)})
    cursor.execute(_BY_ORGANIZATION)
    cursor.execute("SELECT DISTINCT organization_id FROM usage_dirty")
    dirty = frozenset(organization for (organization,) in cursor.fetchall())
    if dirty:
        cursor.execute(_DAYS)
    cursor.execute("DROP TABLE usage_dirty")
    return dirty


def _month(at: datetime) -> datetime:
    """The first partition in which something recorded since then can be."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
