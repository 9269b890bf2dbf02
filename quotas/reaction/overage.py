"""From balances to the outbox of overage: what Stripe has not been told of becomes a report.

Amounts come from the balances under the head's lock, never from a payload (DESIGN 4.6).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Max, OuterRef, Subquery, Sum

from billing.entitlement.clock import now_for
from billing.subscription import metering
from billing.subscription.metering import Metered
from orgs.models import Organization
from quotas.engine import billable, limits
from quotas.engine.billable import Accounted
from quotas.engine.periods import is_anchored
from quotas.models import Balance, OverageReport, UsageLimit

logger = structlog.get_logger(__name__)

# Usage may be recorded for 35 days; nothing older changes.
_OPEN: Final = timedelta(days=36)


@dataclass(frozen=True, slots=True)
class _Period:
    meter: str
    start: datetime
    end: datetime
    overage: int


def take_stock(organization: Organization) -> int:
    """Writes down what is not accounted for; returns how many reports that made."""
    metered = metering.of(organization)
    if not metered or not _is_behind(organization, metered):
        return 0
    with transaction.atomic():
        limits.lock_head(organization)
        made = 0
        terms = {row.meter: row for row in UsageLimit.objects.filter(organization=organization)}
        periods = list(_periods(organization, metered))
        known = billable.accounted(organization.pk, [(each.meter, each.start) for each in periods])
        for period in periods:
            before = known.get((period.meter, period.start), Accounted())
            if period.overage != before.total:
                meter = metered[period.meter]
                made += _write_down(organization, meter, period, before, terms.get(period.meter))
        return made


def take_stock_of_all() -> int:
    made = 0
    for organization in metering.subscribed().iterator(chunk_size=500):
        made += take_stock(organization)
    return made


def _is_behind(organization: Organization, metered: dict[str, Metered]) -> bool:
    """Without the lock, which would hold up usage for nothing in most cases."""
    periods = list(_periods(organization, metered))
    known = billable.accounted(organization.pk, [(each.meter, each.start) for each in periods])
    return any(
        each.overage != known.get((each.meter, each.start), Accounted()).total for each in periods
    )


def _periods(organization: Organization, metered: dict[str, Metered]) -> Iterator[_Period]:
    """Usage months of the subscription: a grant's or a trial's are counted from another day."""
    now = now_for(organization)
    limit = UsageLimit.objects.filter(
        organization=OuterRef("organization"), meter=OuterRef("meter")
    )
    rows = (
        Balance.objects.filter(
            organization=organization, meter__in=metered, period_end__gt=now - _OPEN
        )
        .values("meter", "period_start")
        .annotate(
            end=Max("period_end"),
            over=Sum("overage"),
            anchor=Subquery(limit.values("period_anchor")[:1]),
        )
        .order_by("meter", "period_start")
    )
    for row in rows:
        meter, start = metered[row["meter"]], row["period_start"]
        if _belongs(meter, start, row["anchor"]):
            yield _Period(row["meter"], start, row["end"], row["over"])


def _belongs(meter: Metered, start: datetime, anchor: datetime | None) -> bool:
    """A subscription of 31 Jan begins its second month on 28 Feb: counted back from there, its
    first would have begun on 28 Jan. So its months are counted from where usage counts them (C14).
    """
    if anchor is None or not is_anchored(anchor, meter.period_start):
        anchor = meter.period_start
    return start >= meter.since and is_anchored(anchor, start)


def _write_down(
    organization: Organization,
    meter: Metered,
    period: _Period,
    before: Accounted,
    limit: UsageLimit | None,
) -> int:
    reports = OverageReport.objects.of_period(organization, period.meter, period.start)
    if reports.filter(state=OverageReport.State.WAITING).exists():
        return 0  # one at a time; the next stock-taking counts what came after it
    change = billable.split(period.overage, before, limit)
    number = reports.aggregate(last=Max("number", default=0))["last"]
    found = []
    for units, state, reason in (
        (change.waived, OverageReport.State.WAIVED, change.reason),
        (change.billed, OverageReport.State.WAITING, OverageReport.Reason.NONE),
    ):
        if units:
            number += 1
            found.append(
                OverageReport(
                    organization=organization,
                    meter=period.meter,
                    period_start=period.start,
                    period_end=period.end,
                    number=number,
                    units=units,
                    state=state,
                    reason=reason,
                    customer_id=meter.customer_id,
                )
            )
    OverageReport.objects.bulk_create(found)
    return len(found)
