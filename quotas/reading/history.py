"""Usage periods that are over, and sums per day or month."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from django.db.models import F, Sum
from django.db.models.functions import TruncDay, TruncMonth

from billing.catalog.money import charge_for
from billing.catalog.schema import Meter
from orgs.models import Organization
from quotas.engine.periods import Period, add_months
from quotas.models import Balance, OverageReport, Rollup
from quotas.reading.usage import Usage, meters

SHOWN = 12
MONTHS = 12
_SHORT = timedelta(days=20)  # days and hours are periods too, but no choice of a page


@dataclass(frozen=True, slots=True, kw_only=True)
class PastReading:
    """A flow in a period that is over. Its limit then is not known any more."""

    key: str
    meter: Meter
    used: int
    overage: int
    cost: int
    currency: str


def periods(organization: Organization, now: Period) -> list[Period]:
    """Those with usage before the present one, newest first."""
    flows = [key for key, meter in meters().items() if meter.kind == "flow"]
    rows = (
        Balance.objects.filter(
            organization=organization,
            meter__in=flows,
            period_start__lt=now.start,
            period_end__gte=F("period_start") + _SHORT,
        )
        .order_by("-period_start")
        .values_list("period_start", "period_end")
        .distinct()
    )
    return [Period(start, end) for start, end in rows[:SHOWN]]


def last_year(usage: Usage) -> Period:
    return Period(add_months(usage.period.end, -MONTHS), usage.period.end)


def of_period(usage: Usage, period: Period) -> list[PastReading]:
    """What each flow used in the periods that began in this one."""
    rows = (
        Balance.objects.filter(
            organization=usage.organization,
            period_start__gte=period.start,
            period_start__lt=period.end,
        )
        .values("meter")
        .annotate(total=Sum("used"), beyond=Sum("overage"))
    )
    sums = {row["meter"]: row for row in rows}
    costs = _costs(usage, period)
    return [
        PastReading(
            key=key,
            meter=meter,
            used=sums[key]["total"],
            overage=sums[key]["beyond"],
            cost=costs.get(key, 0),
            currency=usage.prices[key].currency if costs.get(key) else "",
        )
        for key, meter in meters().items()
        if key in sums and meter.kind == "flow"
    ]


def _costs(usage: Usage, period: Period) -> dict[str, int]:
    """By meter, of what was billed; each usage period is rounded by itself."""
    billed = (
        OverageReport.objects.filter(
            organization=usage.organization,
            meter__in=usage.prices,
            period_start__gte=period.start,
            period_start__lt=period.end,
        )
        .exclude(state=OverageReport.State.WAIVED)
        .values_list("meter", "period_start")
        .annotate(total=Sum("units"))
    )
    costs: dict[str, int] = {}
    for meter, _start, units in billed:
        price = usage.prices[meter]
        cost = charge_for(units, rate=price.rate, per=price.per)
        costs[meter] = costs.get(meter, 0) + cost
    return costs


def changes(
    organization: Organization, meter: str, window: Period, zone: tzinfo, *, monthly: bool = False
) -> list[tuple[datetime, int]]:
    """How much was added less what was removed, per local day or month with any usage.

    For a flow, of the usage periods that begin in the window, so that sums equal balances.
    """
    grain = Rollup.Grain.DAY if monthly else Rollup.Grain.HOUR
    truncate = TruncMonth if monthly else TruncDay
    found = Rollup.objects.filter(
        organization=organization, grain=grain, meter=meter, dimension="", bucket__lt=window.end
    )
    if meters()[meter].kind == "flow":
        found = found.filter(period_start__gte=window.start, period_start__lt=window.end)
    else:
        found = found.filter(bucket__gte=window.start)
    rows = (
        found.annotate(day=truncate("bucket", tzinfo=zone))
        .values("day")
        .annotate(net=Sum(F("added") - F("removed")))
        .order_by("day")
    )
    return [(row["day"], row["net"]) for row in rows]
