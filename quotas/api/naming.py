"""Organizations are named by UUID or slug."""

import os
import time
from functools import lru_cache
from uuid import UUID

from orgs.exceptions import OrganizationNotFound
from quotas.api.bearers import Bearer
from quotas.engine import ledger
from quotas.engine.lane import Call, Lane
from quotas.engine.session import Session
from quotas.exceptions import InvalidRequest

KNOWN_SECONDS = 60.0  # slugs are never reused, so an old answer cannot be somebody else's
MOST_KNOWN = 100_000
LONGEST_NAME = 64
_UUID_LENGTHS = (32, 36)

_known: dict[str, tuple[float, UUID]] = {}


def organization(name: object, bearer: Bearer) -> UUID:
    """Raises OutOfScope before it tells whether the organization exists (E8)."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidRequest("Name the organization by its slug or id.", field="organization")
    found = identity(name)
    bearer.may_name(found)
    if found is None:
        raise OrganizationNotFound("There is no such organization.")
    return found


def identity(name: str) -> UUID | None:
    """A UUID is taken as it is; whether it exists the engine finds out."""
    if len(name) in _UUID_LENGTHS and (read := _uuid(name)) is not None:
        return read
    known = _known.get(name)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    (found,) = _slugs.ask(name)
    if found is not None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[name] = (time.monotonic() + KNOWN_SECONDS, found)
    return found


@lru_cache(maxsize=MOST_KNOWN)
def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _look_up(session: Session, calls: "list[Call[str, tuple[UUID | None]]]") -> None:
    slugs = [call.asked for call in calls]
    found = session.read(lambda cursor: ledger.find_organizations(cursor, slugs))
    for call in calls:
        call.finish((found.get(call.asked),))


_slugs: "Lane[str, tuple[UUID | None]]" = Lane("slugs", _look_up)
forget = _known.clear
os.register_at_fork(after_in_child=_known.clear)
