"""Seats: a meter of rows, counted from memberships under the head lock and never cached."""

from dataclasses import dataclass
from uuid import UUID

from billing.entitlement.facts import CatalogueNotApplied
from billing.entitlement.store import current
from billing.models import EffectivePlan
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
    observed: bool = False

    @property
    def is_full(self) -> bool:
        return self.enforced and self.limit is not None and self.used >= self.limit

    @property
    def would_be_full(self) -> bool:
        """Observe mode lets another one in, and writes it down."""
        return self.observed and self.limit is not None and self.used >= self.limit

    @property
    def beyond(self) -> int:
        """Members without a bought seat: accepted and flagged where the plan says so."""
        return max(self.used - self.bought, 0)


def lock_seats(organization: Organization) -> Seats:
    """Counts under the head's lock, which the caller's transaction then keeps."""
    effective = _effective(organization)
    limits.lock_head(organization)
    return _seats(organization, effective)


def read_seats(organization: Organization) -> Seats:
    return _seats(organization, _effective(organization))


def count(organization_id: UUID) -> int:
    return Membership.objects.filter(organization_id=organization_id).count()


def _effective(organization: Organization) -> EffectivePlan | None:
    """None on an installation without plans: there is nothing yet that could limit it."""
    try:
        effective = current(organization)
    except CatalogueNotApplied:
        return None
    if not UsageLimit.objects.filter(organization=organization, meter=METER).exists():
        limits.derive(organization, effective)
    return effective


def _seats(organization: Organization, effective: EffectivePlan | None) -> Seats:
    used = count(organization.pk)
    limit = UsageLimit.objects.filter(organization=organization, meter=METER).first()
    if effective is None or limit is None:
        return Seats(used=used, limit=None, bought=used)
    return Seats(
        used=used,
        limit=limit.amount,
        bought=effective.seats,
        enforced=limit.hard and limit.enforcement == Enforcement.ENFORCE,
        observed=limit.hard and limit.enforcement == Enforcement.OBSERVE,
    )
