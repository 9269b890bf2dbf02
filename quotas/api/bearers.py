"""Who speaks: a service token's satellite and scopes, known to this process for a second."""

import os
import time
from dataclasses import dataclass
from uuid import UUID

from quotas.engine import ledger
from quotas.engine.lane import Call, Lane
from quotas.engine.session import Session
from quotas.exceptions import Busy, OutOfScope
from quotas.satellites import PREFIX, hash_of

KNOWN_SECONDS = 1.0  # how long a revoked token may still work
MOST_KNOWN = 10_000
LONGEST_SECRET = 200


@dataclass(frozen=True, slots=True)
class Bearer:
    """Scopes of None mean all."""

    satellite: int
    meters: frozenset[str] | None
    organizations: frozenset[UUID] | None

    def may_use(self, meter: str) -> None:
        if self.meters is not None and meter not in self.meters:
            raise OutOfScope("The token is not for this meter.", field="meter")

    def may_name(self, organization: UUID | None) -> None:
        """None is an organization nobody knows: to a scoped token it looks like any other."""
        if self.organizations is not None and organization not in self.organizations:
            raise OutOfScope("The token is not for this organization.", field="organization")


_known: dict[str, tuple[float, Bearer | None]] = {}
_renewing: set[str] = set()


class _Renewal(Call[str, ledger.TokenRow]):
    """Nobody waits for it."""

    def __init__(self, secret: str) -> None:
        super().__init__(hash_of(secret))
        self._secret = secret

    def finish(self, answer: ledger.TokenRow) -> None:
        _renewing.discard(self._secret)
        _remember(self._secret, answer)

    def fail(self, error: BaseException) -> None:
        _renewing.discard(self._secret)


def remembered(secret: str) -> Bearer | None:
    """`find` for an event loop: without waiting for PostgreSQL, which is asked before the end."""
    found = _known.get(secret)
    if found is None:
        return None
    left = found[0] - time.monotonic()
    if left < KNOWN_SECONDS / 2 and secret not in _renewing:
        _renewing.add(secret)
        try:
            _tokens.put(_Renewal(secret))
        except Busy:  # it ends, and is looked up in a thread
            _renewing.discard(secret)
    return found[1] if left > 0 else None


def find(secret: str) -> Bearer | None:
    """None for a token that is unknown, expired or revoked."""
    if not secret.startswith(PREFIX) or len(secret) > LONGEST_SECRET:
        return None
    found = _known.get(secret)
    if found is not None and found[0] > time.monotonic():
        return found[1]
    return _remember(secret, _tokens.ask(hash_of(secret)))


def forget() -> None:
    """After a rotation in this process, and in a forked child."""
    _known.clear()
    _renewing.clear()


def _remember(secret: str, row: ledger.TokenRow) -> Bearer | None:
    bearer = None if row.satellite is None else _bearer(row)
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[secret] = (time.monotonic() + KNOWN_SECONDS, bearer)
    return bearer


def _bearer(row: ledger.TokenRow) -> Bearer:
    assert row.satellite is not None  # noqa: S101  the caller looked
    return Bearer(
        satellite=row.satellite,
        meters=None if row.meters is None else frozenset(row.meters),
        organizations=None if row.organizations is None else frozenset(row.organizations),
    )


def _look_up(session: Session, calls: "list[Call[str, ledger.TokenRow]]") -> None:
    hashes = [call.asked for call in calls]
    rows = session.read(lambda cursor: ledger.find_tokens(cursor, hashes))
    for call in calls:
        call.finish(rows.get(call.asked, ledger.NO_TOKEN))


_tokens: Lane[str, ledger.TokenRow] = Lane("tokens", _look_up)
os.register_at_fork(after_in_child=forget)
