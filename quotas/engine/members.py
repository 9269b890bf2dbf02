"""Seats: a meter of rows, counted from memberships under the head lock and never cached."""

from dataclasses import dataclass

from billing import catalog
from billing.entitlement.store import current
from orgs.models import Membership, Organization
from quotas.engine import limits
from quotas.models import Enforcement, UsageLimit

METER = "members"


@dataclass(frozen=True)
class Seats:
    """`limit` None is unlimited. `bought` is what the subscription pays for."""

    used: int
    limit: int | None
    bought: int
    enforced: bool = True

    @property
    def is_full(self) -> bool:
        return self.enforced and self.limit is not None and self.used >= self.limit

    @property
    def beyond(self) -> int:
        """Members without a bought seat: accepted and flagged where the plan says so."""
        return max(self.used - self.bought, 0)


def lock_seats(organization: Organization) -> Seats:
    """Counts under the head's lock, which the caller's transaction then keeps."""
    effective = current(organization)
    limits.lock_head(organization)
    return _count(organization, effective.seats)


def read_seats(organization: Organization) -> Seats:
    return _count(organization, current(organization).seats)


def _count(organization: Organization, bought: int) -> Seats:
    used = Membership.objects.filter(organization=organization).count()
    limit = UsageLimit.objects.filter(organization=organization, meter=METER).first()
    if METER not in catalog.current().meters or limit is None:
        return Seats(used=used, limit=None, bought=bought)
    enforced = limit.enforcement == Enforcement.ENFORCE
    return Seats(used=used, limit=limit.amount, bought=bought, enforced=enforced)
