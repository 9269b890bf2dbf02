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


class GatePort(Protocol):
    def check(self, organization: Organization) -> None:
        """Raises a DomainError while nothing may be written to the organization."""


class _OpenGate:
    """Nothing locks here."""

    def check(self, organization: Organization) -> None:
        return


class _Bound:
    seats: SeatsPort = _CountedMembers()
    gate: GatePort = _OpenGate()


def bind_seats(port: SeatsPort | None) -> None:
    """None goes back to counting."""
    _Bound.seats = _CountedMembers() if port is None else port


def seats(organization: Organization) -> Seats:
    return _Bound.seats.seats(organization)


def bind_gate(port: GatePort | None) -> None:
    """None takes the gate away."""
    _Bound.gate = _OpenGate() if port is None else port


def check_writes(organization: Organization) -> None:
    """Raises what refuses writes, such as the lock of an organization that has not paid."""
    _Bound.gate.check(organization)
