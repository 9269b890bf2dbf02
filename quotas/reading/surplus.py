"""What is held beyond the limit: after a downgrade, or when a limit fell. Nothing is deleted."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef

from billing import catalog
from billing.catalog.policies import OverLimit
from orgs.models import Organization
from quotas.engine import members
from quotas.models import Balance, Enforcement, Kind, UsageLimit

# What is held, and stays held, when a limit falls; a flow starts anew and a ceiling is no sum.
_KEPT = (Kind.LEVEL, Kind.ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surplus:
    """Of the whole organization, in the meter's own units. `policy` is the catalogue's."""

    meter: str
    used: int
    limit: int
    policy: OverLimit

    @property
    def amount(self) -> int:
        return self.used - self.limit


def of(organization: Organization) -> list[Surplus]:
    """In the catalogue's order; only where the limit is enforced, and by the limits as derived."""
    limits = {
        row.meter: row.amount or 0
        for row in UsageLimit.objects.filter(
            organization=organization,
            kind__in=_KEPT,
            enforcement=Enforcement.ENFORCE,
            per_member=False,
            amount__isnull=False,
        )
    }
    used = _used(organization, list(limits))
    return [
        Surplus(meter=key, used=used[key], limit=limits[key], policy=meter.over_limit)
        for key, meter in catalog.current().meters.items()
        if key in limits and used.get(key, 0) > limits[key]
    ]


def among(organizations: list[UUID]) -> set[UUID]:
    """Those that hold more of a level than they may, in one query for all of them."""
    lower = UsageLimit.objects.filter(
        organization=OuterRef("organization"),
        meter=OuterRef("meter"),
        kind=Kind.LEVEL,
        enforcement=Enforcement.ENFORCE,
        per_member=False,
        amount__lt=OuterRef("used"),
    )
    rows = Balance.objects.filter(Exists(lower), organization__in=organizations, member="")
    return set(rows.values_list("organization_id", flat=True))


def _used(organization: Organization, meters: list[str]) -> dict[str, int]:
    rows = Balance.objects.filter(organization=organization, meter__in=meters, member="")
    used = dict(rows.values_list("meter", "used"))
    if members.METER in meters:
        used[members.METER] = members.count(organization.pk)
    return used
