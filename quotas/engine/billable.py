"""Which units of overage are billed: the split that both the reports and the pages use."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, Sum

from quotas.models import Overage, OverageReport, UsageLimit


@dataclass(frozen=True, slots=True)
class Accounted:
    """What reports say of one period: units that are billed (reported or waiting), and waived."""

    billed: int = 0
    waived: int = 0

    @property
    def total(self) -> int:
        return self.billed + self.waived


@dataclass(frozen=True, slots=True)
class Split:
    """What the next reports must say; negative numbers take back."""

    billed: int
    waived: int
    reason: str = OverageReport.Reason.NONE


def split(overage: int, known: Accounted, limit: UsageLimit | None) -> Split:
    """Each unit is judged once, by the owner's choice of its moment.

    The cap is exact also for usage that is recorded after the fact. A release frees units that
    cost nothing first, then billed ones.
    """
    change = overage - known.total
    if change < 0:
        free = min(-change, known.waived)
        return Split(billed=change + free, waived=-free)
    if limit is None or limit.overage != Overage.BILL:
        return Split(billed=0, waived=change, reason=OverageReport.Reason.STOP)
    if limit.overage_cap is None:
        return Split(billed=change, waived=0)
    billed = min(change, max(limit.overage_cap - known.billed, 0))
    return Split(billed=billed, waived=change - billed, reason=OverageReport.Reason.CAP)


def billed_units(overage: int, known: Accounted, limit: UsageLimit | None) -> int:
    """What Stripe will have been told of when every report has left."""
    return known.billed + split(overage, known, limit).billed


def accounted(
    organization_id: UUID, periods: Iterable[tuple[str, datetime]]
) -> dict[tuple[str, datetime], Accounted]:
    """By meter and the period's start, in one query; periods without reports are left out."""
    wanted = set(periods)
    if not wanted:
        return {}
    is_waived = Q(state=OverageReport.State.WAIVED)
    rows = (
        OverageReport.objects.filter(
            organization_id=organization_id,
            meter__in={meter for meter, _start in wanted},
            period_start__in={start for _meter, start in wanted},
        )
        .values_list("meter", "period_start")
        .annotate(
            billed=Sum("units", filter=~is_waived, default=0),
            waived=Sum("units", filter=is_waived, default=0),
        )
    )
    return {
        (meter, start): Accounted(billed, waived)
        for meter, start, billed, waived in rows
        if (meter, start) in wanted
    }
