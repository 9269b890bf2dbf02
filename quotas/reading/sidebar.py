"""The two or three meters beside every page."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from billing.catalog.amounts import format_amount
from orgs.models import Organization
from quotas.reading import usage
from quotas.reading.cards import NEAR
from quotas.reading.usage import FULL, UsageReading

SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedMeter:
    """`high` is where a meter turns to its warning colour."""

    key: str
    label: str
    text: str
    used: int
    limit: int
    high: int


def pinned_meters(organization: Organization) -> tuple[PinnedMeter, ...]:
    """Meters that can run out, none before the organization has used anything."""
    limited = [reading for reading in usage.glance(organization) if reading.limit]
    if not any(reading.used for reading in limited):
        return ()
    return tuple(_pinned(reading) for reading in limited[:SHOWN])


def _pinned(reading: UsageReading) -> PinnedMeter:
    limit = reading.limit or 0
    return PinnedMeter(
        key=reading.key,
        label=str(reading.meter.name),
        text=_("%(used)s of %(limit)s")
        % {
            "used": format_amount(reading.used, reading.meter),
            "limit": format_amount(limit, reading.meter),
        },
        used=min(reading.used, limit),
        limit=limit,
        high=limit * NEAR // FULL if reading.hard else limit,
    )
