"""What orgs asks of floors above, which bind their answer when they start."""

from dataclasses import dataclass
from typing import Protocol

from orgs.models import Organization


@dataclass(frozen=True, kw_only=True)
class Seats:
    """Members counted against the plan; `limit` None means unlimited.

    `next_price` is a ready sentence about what one more costs, or empty.
    """

    used: int
    limit: int | None = None
    next_price: str = ""


class SeatsPort(Protocol):
    def seats(self, organization: Organization) -> Seats: ...


class _CountedMembers:
    """Nobody sells seats here: members are merely counted."""

    def seats(self, organization: Organization) -> Seats:
        return Seats(used=organization.memberships.count())


class _Bound:
    seats: SeatsPort = _CountedMembers()


def bind_seats(port: SeatsPort | None) -> None:
    """None goes back to counting."""
    _Bound.seats = _CountedMembers() if port is None else port


def seats(organization: Organization) -> Seats:
    return _Bound.seats.seats(organization)
