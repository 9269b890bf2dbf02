"""What orgs asks of floors above, which bind their answer when they start."""

from dataclasses import dataclass
from typing import Protocol

from orgs.models import Organization


@dataclass(frozen=True, kw_only=True)
class Seats:
    """Members counted against the plan; `limit` None means unlimited.

    `next_price` is a ready sentence about what one more costs, or empty. `bought` is how many
    seats are paid for where the plan sells them, and None where it does not.
    """

    used: int
    limit: int | None = None
    next_price: str = ""
    bought: int | None = None

    @property
    def is_full(self) -> bool:
        """Nobody else can be invited."""
        return self.limit is not None and self.used >= self.limit

    @property
    def unpaid(self) -> int:
        """Members without a seat of their own, let in by a plan that flags instead of refusing."""
        return 0 if self.bought is None else max(0, self.used - self.bought)

    @property
    def wanted(self) -> int:
        """As many seats as would be enough: for everybody who is in, or for one more."""
        return self.used if self.unpaid else self.used + 1


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
