"""What satellites were told beside what PostgreSQL holds: while everything goes on, and at rest."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import psycopg

from tests.chaos.satellites import Satellites, Told

_TOLD: Final = """
SELECT sequence, accepted, delta FROM usage_event
WHERE organization_id = %s AND sequence = ANY (%s::bigint[])
"""
# One statement is one snapshot, whatever is being written.
_SUMS: Final = """
WITH ledger AS (SELECT organization_id, meter, sum(delta) AS used FROM usage_event
                WHERE organization_id = ANY (%(organizations)s::uuid[]) GROUP BY 1, 2),
     balances AS (SELECT organization_id, meter, sum(used) AS used, sum(held) AS held
                  FROM plan_usage
                  WHERE organization_id = ANY (%(organizations)s::uuid[]) GROUP BY 1, 2),
     holds AS (SELECT organization_id, meter, sum(amount) AS held FROM usage_reservation
               WHERE organization_id = ANY (%(organizations)s::uuid[]) AND state = 'open'
               GROUP BY 1, 2)
SELECT organization_id, meter, coalesce(l.used, 0)::bigint, coalesce(b.used, 0)::bigint,
       coalesce(b.held, 0)::bigint, coalesce(h.held, 0)::bigint
FROM ledger l FULL JOIN balances b USING (organization_id, meter)
     FULL JOIN holds h USING (organization_id, meter)
"""
_BEYOND: Final = """
SELECT b.organization_id, b.meter, b.used, b.held, l.amount
FROM plan_usage b JOIN usage_limit l USING (organization_id, meter)
WHERE b.organization_id = ANY (%s::uuid[]) AND l.hard AND b.used + b.held > l.amount
"""
_CHARTS: Final = """
WITH ledger AS (SELECT organization_id, meter, sum(delta) AS used FROM usage_event
                WHERE organization_id = ANY (%(organizations)s::uuid[]) GROUP BY 1, 2),
     charts AS (SELECT organization_id, meter, grain, sum(added - removed) AS used
                FROM usage_rollup WHERE organization_id = ANY (%(organizations)s::uuid[])
                  AND dimension = '' GROUP BY 1, 2, 3)
SELECT l.organization_id, l.meter, g.grain, l.used::bigint, coalesce(c.used, 0)::bigint
FROM ledger l CROSS JOIN (VALUES ('hour'), ('day')) AS g(grain)
     LEFT JOIN charts c ON c.organization_id = l.organization_id AND c.meter = l.meter
          AND c.grain = g.grain
WHERE l.used <> coalesce(c.used, 0)
"""
_KEYS: Final = """
SELECT organization_id, key, count(*) FROM usage_event
WHERE organization_id = ANY (%s::uuid[]) GROUP BY organization_id, satellite_id, key, line
HAVING count(*) > 1
"""


class Books:
    """Each `told` is looked up once; the sums are those of all that were."""

    def __init__(self, satellites: Satellites) -> None:
        self.satellites = satellites
        self.organizations = [*satellites.scarce, *satellites.generous]
        self.known: Counter[tuple[UUID, str]] = Counter()
        self.entered = 0

    def look(self, connection: psycopg.Connection) -> list[str]:
        """Under load: what differs, in sentences."""
        differences = self._missing(connection)
        for organization, meter, ledger, used, held, open_holds in self._sums(connection):
            known = self.known[organization, meter]
            if (ledger, held) != (used, open_holds):
                differences.append(
                    f"{organization} {meter}: ledger {ledger}, balance {used},"
                    f" held {held}, open holds {open_holds}"
                )
            if ledger < known:
                differences.append(f"{organization} {meter}: {known} told, {ledger} in the ledger")
        for row in connection.execute(_BEYOND, [self.satellites.scarce]):
            differences.append(f"beyond a hard limit: {row}")
        return differences

    def look_at_rest(self, connection: psycopg.Connection) -> list[str]:
        """While no satellite asks anything, and after the charts were brought up to date."""
        differences = self.look(connection)
        everybody = {"organizations": self.organizations}
        for row in connection.execute(_CHARTS, everybody):
            differences.append(f"a chart is not the ledger: {row}")
        for row in connection.execute(_KEYS, [self.organizations]):
            differences.append(f"a key is in the ledger twice: {row}")
        maybe: Counter[tuple[UUID, str]] = Counter()
        for organization, meter, amount in list(self.satellites.maybe):
            maybe[organization, meter] += amount
        for organization, meter, ledger, *_rest in self._sums(connection):
            most = self.known[organization, meter] + maybe[organization, meter]
            if ledger > most:
                differences.append(f"{organization} {meter}: {ledger} in the ledger, {most} asked")
        return differences

    def _sums(self, connection: psycopg.Connection) -> list[tuple[UUID, str, int, int, int, int]]:
        return connection.execute(_SUMS, {"organizations": self.organizations}).fetchall()

    def _missing(self, connection: psycopg.Connection) -> list[str]:
        fresh = self.satellites.told[self.entered :]
        found = []
        by_organization: dict[UUID, list[Told]] = defaultdict(list)
        for told in fresh:
            by_organization[told.organization].append(told)
        for organization, all_told in by_organization.items():
            found += _compared(connection, organization, all_told)
        for told in fresh:
            self.known[told.organization, told.meter] += told.delta
        self.entered += len(fresh)
        return found


def _compared(
    connection: psycopg.Connection, organization: UUID, all_told: Sequence[Told]
) -> list[str]:
    sequences = [told.sequence for told in all_told]
    rows = {
        sequence: (accepted, delta)
        for sequence, accepted, delta in connection.execute(_TOLD, [organization, sequences])
    }
    return [
        f"told and not so in the ledger: {told} {rows.get(told.sequence)}"
        for told in all_told
        if rows.get(told.sequence) != (told.allowed, told.delta)
    ]
