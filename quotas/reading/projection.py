"""“On pace for”: what a meter will stand at when its period ends, if use goes on as it did."""

from datetime import datetime, timedelta

from django.db.models import Sum

from orgs.models import Organization
from quotas.engine.periods import ALWAYS, Period
from quotas.models import Kind, Rollup, UsageLimit

MONTH = timedelta(days=30)  # how far a level is projected
WEEK = timedelta(days=7)
LEAST_SHARE = 0.02  # of a period: earlier, a single burst would look like a habit


def projected(
    organization: Organization, limit: UsageLimit, period: Period, at: datetime, used: int
) -> int | None:
    """None where nothing can be said: at the start of a period, and for rows."""
    if limit.kind == Kind.FLOW and period != ALWAYS:
        return _flow(period, at, used)
    if limit.kind == Kind.LEVEL:
        return _level(organization, limit.meter, at, used)
    return None


def _flow(period: Period, at: datetime, used: int) -> int | None:
    share = (at - period.start) / (period.end - period.start)
    return None if share < LEAST_SHARE else round(used / min(share, 1))


def _level(organization: Organization, meter: str, at: datetime, used: int) -> int | None:
    """The last week's pace, carried on for a month."""
    sums = Rollup.objects.filter(
        organization=organization,
        meter=meter,
        grain=Rollup.Grain.DAY,
        dimension="",
        bucket__gt=at - WEEK,
    ).aggregate(added=Sum("added"), removed=Sum("removed"))
    if sums["added"] is None:
        return None
    grown: int = sums["added"] - sums["removed"]
    return max(used + round(grown * (MONTH / WEEK)), 0)
