"""Every meter of an organization: balance, projection, cost so far."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing import catalog
from billing.catalog.money import charge_for
from billing.catalog.schema import Meter
from billing.entitlement.clock import now_for
from billing.entitlement.store import current
from billing.models import EffectivePlan
from orgs.models import Organization
from quotas.engine import enforcement, members
from quotas.engine.periods import ALWAYS, Period, period_at
from quotas.models import Balance, Credit, Kind, PeriodRule, UsageLimit
from quotas.reading.projection import projected


@dataclass(frozen=True)
class Charge:
    """Billable units at the catalogue's rate, rounded once; minor units of `currency`."""

    currency: str
    amount: int
    projected: int
    cap: int | None
    rate: Decimal
    per: int


@dataclass(frozen=True)
class MeterUsage:
    """One meter now. None as `limit` or `remaining` is unlimited; sums over members where the
    limit is per member."""

    key: str
    meter: Meter
    limit: UsageLimit
    used: int
    held: int
    overage: int
    remaining: int | None
    credits: int
    period: Period
    at: datetime
    projected: int | None
    charge: Charge | None
    members: dict[str, int] = field(default_factory=dict)

    @property
    def resets_at(self) -> datetime | None:
        return None if self.period == ALWAYS else self.period.end

    @property
    def percent(self) -> float | None:
        """Of the allowance; None where there is none to be a part of."""
        if not self.limit.amount:
            return None
        return self.used * 100 / self.limit.amount


def of(organization: Organization) -> list[MeterUsage]:
    """In the catalogue's order; ceilings are left out, as they sum nothing."""
    enforcement.ensure_limits(organization)
    effective = current(organization)
    at = now_for(organization)
    rows = {row.meter: row for row in UsageLimit.objects.filter(organization=organization)}
    return [
        _meter_usage(effective, rows[key], meter, at)
        for key, meter in catalog.current().meters.items()
        if key in rows and meter.kind != "ceiling"
    ]


def one(organization: Organization, key: str) -> MeterUsage:
    """Raises StopIteration for a meter that has no balance."""
    return next(found for found in of(organization) if found.key == key)


def _meter_usage(
    effective: EffectivePlan, limit: UsageLimit, meter: Meter, at: datetime
) -> MeterUsage:
    organization = effective.organization
    rule = PeriodRule(limit.period_rule)
    period = period_at(rule, limit.period_anchor, at, limit.paid_until)
    balances = list(
        Balance.objects.filter(
            organization=organization, meter=limit.meter, period_start=period.start
        )
    )
    used = sum(balance.used for balance in balances)
    if limit.kind == Kind.ROWS:
        used = members.count(organization.pk)
    held = sum(balance.held for balance in balances)
    overage = _overage(limit, balances, used)
    pace = projected(organization, limit, period, at, used)
    return MeterUsage(
        key=limit.meter,
        meter=meter,
        limit=limit,
        used=used,
        held=held,
        overage=overage,
        remaining=_remaining(limit, balances, used, held),
        credits=_credits(limit, at),
        period=period,
        at=at,
        projected=pace,
        charge=_charge(effective, limit, overage, pace),
        members={balance.member: balance.used for balance in balances if balance.member},
    )


def _overage(limit: UsageLimit, balances: list[Balance], used: int) -> int:
    if limit.kind == Kind.FLOW:
        return sum(balance.overage for balance in balances)
    return 0 if limit.amount is None else max(used - limit.amount, 0)


def _remaining(limit: UsageLimit, balances: list[Balance], used: int, held: int) -> int | None:
    """Per member there is no common remainder: each has their own."""
    if limit.amount is None or limit.per_member:
        return None
    credited = sum(balance.credited for balance in balances)
    return max(limit.amount + credited - used - held, 0)


def _credits(limit: UsageLimit, at: datetime) -> int:
    if not limit.has_credits:
        return 0
    rows = Credit.objects.filter(
        organization=limit.organization_id, meter=limit.meter, remaining__gt=0, starts_at__lte=at
    ).values_list("remaining", "expires_at")
    return sum(left for left, expires_at in rows if expires_at is None or expires_at > at)


def _charge(
    effective: EffectivePlan, limit: UsageLimit, overage: int, pace: int | None
) -> Charge | None:
    """None where nothing beyond the allowance is billed."""
    plan_limit = effective.plan.limits.filter(meter=limit.meter).first()
    terms: dict[str, Any] | None = plan_limit.overage if plan_limit is not None else None
    currency = effective.currency or catalog.current().currencies[0]
    if not terms or currency not in terms["rates"]:
        return None
    rate, per = Decimal(terms["rates"][currency]), int(terms.get("per", 1))
    extra = max((pace or 0) - (limit.amount or 0), overage) if limit.amount is not None else 0
    if limit.overage_cap is not None:
        extra = min(extra, max(limit.overage_cap, overage))
    cap = limit.overage_cap
    return Charge(
        currency=currency,
        amount=charge_for(overage, rate=rate, per=per),
        projected=charge_for(extra, rate=rate, per=per),
        cap=None if cap is None else charge_for(cap, rate=rate, per=per),
        rate=rate,
        per=per,
    )


def time_left(found: MeterUsage) -> timedelta | None:
    return None if found.resets_at is None else found.resets_at - found.at
