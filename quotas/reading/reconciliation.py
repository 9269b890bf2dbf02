"""Compares what is derived with the ledger it is derived from, and repairs towards the ledger.

Balances and holds are compared in one snapshot. Roll-ups and Redis follow the ledger after a
moment, so they are brought up to date first, and only what stays wrong counts.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from orgs import audit
from orgs.models import Organization
from quotas.engine import counters, ledger, limits
from quotas.models import QuotaHead, Rollup
from quotas.reading import rollups

CHUNK: Final = 200  # organizations per statement


class Kind(StrEnum):
    BALANCE = "balance"
    HELD = "held"
    HOURS = "hourly roll-ups"
    DAYS = "daily roll-ups"
    OVERAGE = "reported overage"
    REDIS = "Redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`expected` is what the ledger (for holds: the open reservations) says."""

    organization: UUID
    kind: Kind
    meter: str
    member: str
    period_start: datetime | None
    expected: int
    found: int


# What balances must say: the checkpoint of dropped partitions, and every retained row.
_EXPECTED = """
WITH summed AS (
    SELECT e.organization_id, e.meter, e.period_start,
           CASE WHEN e.per_member THEN e.member ELSE '' END AS member, sum(e.delta) AS total
    FROM usage_event e
    WHERE e.organization_id = ANY (%(organizations)s::uuid[])
    GROUP BY 1, 2, 3, 4
), expected AS (
    SELECT coalesce(b.organization_id, s.organization_id) AS organization_id,
           coalesce(b.meter, s.meter) AS meter, coalesce(b.member, s.member) AS member,
           coalesce(b.period_start, s.period_start) AS period_start,
           (coalesce(b.checkpoint, 0) + coalesce(s.total, 0))::bigint AS total,
           coalesce(b.used, 0) AS used
    FROM (SELECT * FROM plan_usage WHERE organization_id = ANY (%(organizations)s::uuid[])) b
    FULL JOIN summed s ON s.organization_id = b.organization_id AND s.meter = b.meter
         AND s.member = b.member AND s.period_start = b.period_start
)
"""
_BALANCES = f"""{_EXPECTED}
SELECT organization_id, meter, member, period_start, total, used FROM expected
WHERE total <> used ORDER BY 1, 2, 3, 4
"""  # noqa: S608  constants of this module
_HELD = """
SELECT b.organization_id, b.meter, b.member, b.period_start, coalesce(r.total, 0), b.held
FROM plan_usage b LEFT JOIN LATERAL (
    SELECT sum(r.amount)::bigint AS total FROM usage_reservation r
    WHERE r.organization_id = b.organization_id AND r.meter = b.meter AND r.state = 'open'
      AND r.balance_member = b.member AND r.period_start = b.period_start) r ON true
WHERE b.organization_id = ANY (%(organizations)s::uuid[]) AND b.held <> coalesce(r.total, 0)
ORDER BY 1, 2, 3, 4
"""
_ROLLUPS = f"""{_EXPECTED}, rolled AS (
    SELECT organization_id, meter, period_start, sum(added - removed)::bigint AS total
    FROM usage_rollup
    WHERE organization_id = ANY (%(organizations)s::uuid[]) AND grain = %(grain)s
      AND dimension = ''
    GROUP BY 1, 2, 3
), wanted AS (
    SELECT organization_id, meter, period_start, sum(total)::bigint AS total
    FROM expected GROUP BY 1, 2, 3
)
SELECT coalesce(w.organization_id, r.organization_id), coalesce(w.meter, r.meter), '',
       coalesce(w.period_start, r.period_start), coalesce(w.total, 0), coalesce(r.total, 0)
FROM wanted w FULL JOIN rolled r ON r.organization_id = w.organization_id
     AND r.meter = w.meter AND r.period_start = w.period_start
WHERE coalesce(w.total, 0) <> coalesce(r.total, 0) ORDER BY 1, 2, 4
"""  # noqa: S608  constants of this module
# Units beyond the allowance are reported or waived; while a report waits, others wait behind it.
_OVERAGE = """
SELECT r.organization_id, r.meter, '', r.period_start, coalesce(b.total, 0), r.total
FROM (SELECT organization_id, meter, period_start, sum(units)::bigint AS total
      FROM usage_overage_report WHERE organization_id = ANY (%(organizations)s::uuid[])
      GROUP BY 1, 2, 3) r
LEFT JOIN LATERAL (
    SELECT sum(b.overage)::bigint AS total FROM plan_usage b
    WHERE b.organization_id = r.organization_id AND b.meter = r.meter
      AND b.period_start = r.period_start) b ON true
WHERE r.total <> coalesce(b.total, 0) AND NOT EXISTS (
    SELECT 1 FROM usage_overage_report w WHERE w.organization_id = r.organization_id
      AND w.meter = r.meter AND w.period_start = r.period_start AND w.state = 'waiting')
ORDER BY 1, 2, 4
"""
_REPAIR_BALANCES = f"""{_EXPECTED}
INSERT INTO plan_usage (organization_id, meter, member, period_start, period_end, used, held,
                        credited, overage, checkpoint, updated_at)
SELECT x.organization_id, x.meter, x.member, x.period_start,
       (SELECT max(e.period_end) FROM usage_event e WHERE e.organization_id = x.organization_id
          AND e.meter = x.meter AND e.period_start = x.period_start),
       x.total, 0, 0, 0, 0, clock_timestamp()
FROM expected x WHERE x.total <> x.used AND x.total >= 0
ON CONFLICT (organization_id, meter, member, period_start) DO UPDATE
SET used = excluded.used, credited = least(plan_usage.credited, excluded.used),
    overage = least(plan_usage.overage, excluded.used), updated_at = excluded.updated_at
"""  # noqa: S608  constants of this module
_REPAIR_HELD = """
UPDATE plan_usage b SET held = coalesce((
    SELECT sum(r.amount) FROM usage_reservation r
    WHERE r.organization_id = b.organization_id AND r.meter = b.meter AND r.state = 'open'
      AND r.balance_member = b.member AND r.period_start = b.period_start), 0)
WHERE b.organization_id = ANY (%(organizations)s::uuid[])
"""


def all_organizations() -> list[UUID]:
    """Those that ever asked for anything."""
    return list(QuotaHead.objects.order_by("pk").values_list("organization_id", flat=True))


def chunks(organizations: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(organizations), CHUNK):
        yield organizations[start : start + CHUNK]


def differences(organizations: Collection[UUID]) -> list[Difference]:
    """Call `rollups.catch_up` before: what the roll-ups have not read yet is no difference."""
    values = {"organizations": list(organizations)}
    found = [
        *_ask(Kind.BALANCE, _BALANCES, values),
        *_ask(Kind.HELD, _HELD, values),
        *_ask(Kind.HOURS, _ROLLUPS, values | {"grain": Rollup.Grain.HOUR.value}),
        *_ask(Kind.DAYS, _ROLLUPS, values | {"grain": Rollup.Grain.DAY.value}),
        *_ask(Kind.OVERAGE, _OVERAGE, values),
    ]
    for organization in organizations:
        found += _in_redis(organization)
    return found


def confirmed(
    found: Collection[Difference], settle: Callable[[UUID], object] = lambda _organization: None
) -> list[Difference]:
    """Those that are still there while nobody can use anything: the rest was on its way.

    `settle` does under the head's lock what a task would have done in a moment.
    """
    sure: list[Difference] = []
    for organization in sorted({difference.organization for difference in found}):
        with transaction.atomic():
            _lock(organization)
            rollups.catch_up(wait=True)
            settle(organization)
            sure += differences([organization])
    return sure


def repair(organization_id: UUID) -> list[Difference]:
    """Towards the ledger, under the head's lock; returns what was wrong."""
    with transaction.atomic(), connection.cursor() as cursor:
        head = _lock(organization_id)
        rollups.catch_up(wait=True)
        found = differences([organization_id])
        values = {"organizations": [organization_id]}
        kinds = {difference.kind for difference in found}
        if Kind.BALANCE in kinds:
            cursor.execute(_REPAIR_BALANCES, values)
        if Kind.HELD in kinds:
            cursor.execute(_REPAIR_HELD, values)
        if kinds & {Kind.HOURS, Kind.DAYS}:
            rollups.rebuild(organization_id)
        if found:
            head.sequence += 1
            head.limits_sequence = head.sequence
            head.save(update_fields=["sequence", "limits_sequence"])
            _write_down(organization_id, found)
            transaction.on_commit(lambda: counters.forget(organization_id, head.sequence))
    return found


def _ask(kind: Kind, statement: str, values: Mapping[str, Any]) -> Iterator[Difference]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for organization, meter, member, period_start, expected, found in cursor.fetchall():
            yield Difference(
                organization=organization,
                kind=kind,
                meter=meter,
                member=member,
                period_start=period_start,
                expected=expected,
                found=found,
            )


def _in_redis(organization: UUID) -> Iterator[Difference]:
    """A reading of an older sequence is only old; one of the present sequence must be right."""
    stored = counters.stored(organization)
    if not stored:
        return
    with connection.cursor() as cursor:
        rows = ledger.read(cursor, [(organization, meter, member) for meter, member in stored])
    for ((meter, member), cached), row in zip(stored.items(), rows, strict=True):
        real = row.reading
        if real is None or cached.sequence < real.sequence:
            continue
        if (cached.used, cached.held, cached.allowance) != (real.used, real.held, real.allowance):
            yield Difference(
                organization=organization,
                kind=Kind.REDIS,
                meter=meter,
                member=member,
                period_start=real.period_start,
                expected=real.used,
                found=cached.used,
            )


def _lock(organization_id: UUID) -> QuotaHead:
    return limits.lock_head(Organization(pk=organization_id))


def _write_down(organization_id: UUID, found: list[Difference]) -> None:
    audit.record(
        "usage.reconciled",
        organization=Organization.objects.get(pk=organization_id),
        before={_name(difference): difference.found for difference in found},
        after={_name(difference): difference.expected for difference in found},
    )


def _name(difference: Difference) -> str:
    return " ".join(part for part in (difference.kind, difference.meter, difference.member) if part)
