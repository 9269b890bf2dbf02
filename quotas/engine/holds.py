"""Holds whose time is over. Decisions see them as gone already; this frees what nobody asks for."""

from typing import Final
from uuid import UUID

from django.db import connection, transaction

from quotas.engine import limits

_AT_ONCE: Final = 500

# The clock of a hold is the organization's own.
_OVERDUE: Final = """
SELECT DISTINCT r.organization_id FROM usage_reservation r
JOIN quota_head h ON h.organization_id = r.organization_id
WHERE r.state = 'open' AND r.expires_at <= coalesce(h.frozen_at, clock_timestamp())
LIMIT %s
"""
_EXPIRE: Final = """
WITH gone AS (
    UPDATE usage_reservation r SET state = 'expired', ended_at = r.expires_at
    FROM quota_head h
    WHERE h.organization_id = r.organization_id AND r.organization_id = %s
      AND r.state = 'open' AND r.expires_at <= coalesce(h.frozen_at, clock_timestamp())
    RETURNING r.meter, r.balance_member, r.period_start, r.amount
), freed AS (
    SELECT meter, balance_member, period_start, sum(amount) AS amount FROM gone GROUP BY 1, 2, 3
)
UPDATE plan_usage b SET held = b.held - freed.amount, updated_at = clock_timestamp()
FROM freed
WHERE b.organization_id = %s AND b.meter = freed.meter AND b.member = freed.balance_member
  AND b.period_start = freed.period_start
"""


def expire_overdue() -> int:
    """Returns for how many organizations holds ended; at most 500, the next run takes the rest."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, [_AT_ONCE])
        organizations = sorted(row[0] for row in cursor.fetchall())
    for organization in organizations:
        _expire(organization)
    return len(organizations)


def _expire(organization: UUID) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM quota_head WHERE organization_id = %s FOR NO KEY UPDATE", [organization]
        )
        cursor.execute(_EXPIRE, [organization, organization])
        limits.void_readings(organization)
