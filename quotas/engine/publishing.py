"""What is left of a meter, under the Redis key that a product's document names for it.

Whoever reads it there finds a plain number that expires with the period. Nothing of ours reads it
back, so nothing hangs on it.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import psycopg

from quotas.engine import counters, ledger, meters
from quotas.engine.counters import Place
from quotas.engine.readings import Reading
from quotas.engine.session import Session

LONGEST_SECONDS: Final = 35 * 24 * 3600
_MOST_KNOWN: Final = 50_000

# Organization → who pays for it. A personal organization never changes hands.
_payers: dict[UUID, UUID] = {}


def publish(session: Session, readings: Mapping[Place, Reading]) -> None:
    keys = meters.cache_keys()
    wanted = {
        place: reading
        for place, reading in readings.items()
        if place[1] in keys and reading.remaining is not None and reading.is_current()
    }
    if not wanted or not _learn(session, [place[0] for place in wanted]):
        return
    counters.publish(
        {
            _key(keys[place[1]], place): (reading.remaining or 0, _seconds(reading))
            for place, reading in wanted.items()
        }
    )


def _key(template: str, place: Place) -> str:
    """`{user}` is the member where the limit is per member, else who pays."""
    organization, _meter, member = place
    user = member or _payers.get(organization, organization)
    return template.format(organization=organization, user=user)


def _learn(session: Session, organizations: list[UUID]) -> bool:
    unknown = [found for found in organizations if found not in _payers]
    if not unknown:
        return True
    if len(_payers) >= _MOST_KNOWN:
        _payers.clear()
        unknown = organizations
    try:
        _payers.update(session.read(lambda cursor: ledger.find_payers(cursor, unknown)))
    except psycopg.Error:
        return False
    return True


def _seconds(reading: Reading) -> int:
    ends = min(filter(None, (reading.valid_until, reading.period_end)))
    return max(1, min(int((ends - reading.at).total_seconds()), LONGEST_SECONDS))
