"""What was given by hand ends by itself: people are reminded before it does."""

from datetime import datetime, timedelta
from typing import Final

from billing import catalog
from billing.entitlement import clock
from billing.messages import mails
from billing.models import EffectivePlan, Grant, Source

GIVEN: Final = (Source.SITE_OWNER, Source.CONTRACT, Source.MANUAL, Source.PILOT)


def remind(limit: int = 500) -> None:
    """Every minute: on the catalogue's days before a contract, a pilot or an override ends."""
    coming = EffectivePlan.objects.filter(source__in=GIVEN, ends_at__isnull=False)
    for row in coming.select_related("organization", "plan").order_by("ends_at", "pk")[:limit]:
        _remind(row, clock.now_for(row.organization))


def _remind(row: EffectivePlan, now: datetime) -> None:
    """The nearest reminder alone: whoever comes late to one has no use for the earlier."""
    ends_at = row.ends_at
    days = catalog.current().contracts.reminder_days
    due = [n for n in days if ends_at is not None and ends_at - timedelta(days=n) <= now < ends_at]
    grant = _grant_of(row, now) if due else None
    if grant is not None:
        mails.announce(
            row.organization,
            "grant_ending",
            once_per=f"{grant.pk}:{min(due)}",
            payload={"plan": row.plan.key, "grant": grant.pk},
        )


def _grant_of(row: EffectivePlan, now: datetime) -> Grant | None:
    same = {"source": row.source, "plan_key": row.plan.key, "ends_at": row.ends_at}
    found: Grant | None = row.organization.grants.in_force(now).filter(**same).last()
    return found
