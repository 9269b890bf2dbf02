"""Why a meter's limit is what it is, at any instant: what it adds up from, and what was used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import catalog
from billing.catalog.amounts import format_amount, format_count
from billing.catalog.schema import Meter
from billing.models import EffectivePlan, EffectivePlanChange, Grant, PlanLimit
from quotas.models import Balance, Kind, LimitAdjustment, UsageEvent
from quotas.reading import usage

Verdict = EffectivePlan | EffectivePlanChange
Source = Literal["plan", "contract", "seats", "override", "pack", "beta", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One line of the sum. `amount` None is unlimited; `times` are the seats it was counted for."""

    source: Source
    amount: int | None
    name: str
    each: int | None = None
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReason:
    """`used` None: not known for that instant, or counted for each member."""

    key: str
    meter: Meter
    limit: int | None
    parts: tuple[Part, ...]
    used: int | None
    hard: bool

    @property
    def stops(self) -> bool:
        """Whether the limit is what refuses the next unit."""
        if self.meter.kind == "ceiling" or not self.hard or not self.is_in_plan:
            return False
        return self.limit is not None and self.used is not None and self.used >= self.limit

    @property
    def is_in_plan(self) -> bool:
        return all(part.source != "none" for part in self.parts)


def of(verdict: Verdict, at: datetime, *, is_now: bool) -> list[MeterReason]:
    """Every meter that people see, by the terms of that instant."""
    terms = _terms(verdict, at)
    used = _used_now(verdict) if is_now else _used_then(verdict, at)
    found = []
    for key, meter in usage.meters().items():
        parts = tuple(_parts(terms, key))
        limit = _sum(parts)
        found.append(
            MeterReason(
                key=key,
                meter=meter,
                limit=limit,
                parts=parts,
                used=used.get(key),
                hard=key not in terms.limits or terms.limits[key].hard,
            )
        )
    return found


def sentence(reason: MeterReason) -> str:
    """Of a sum such as `Storage 100 GB = Pro 10 GB × 8 seats + pack 20 GB, used 100 GB.`"""  # noqa: RUF002
    said = _("%(meter)s %(limit)s = %(sum)s") % {
        "meter": reason.meter.name,
        "limit": format_amount(reason.limit, reason.meter),
        "sum": " + ".join(_written(part, reason.meter) for part in reason.parts),
    }
    if reason.meter.kind != "ceiling" and reason.used is not None:
        used = {"used": format_amount(reason.used, reason.meter)}
        said = f"{said}, " + _("used %(used)s") % used
    return f"{said}. {reason.meter.at_limit}" if reason.stops else f"{said}."


def body(reason: MeterReason) -> dict[str, Any]:
    return {
        "limit": reason.limit,
        "used": reason.used,
        "sentence": sentence(reason),
        "parts": [
            {"source": part.source, "name": part.name, "amount": part.amount}
            | ({"each": part.each, "times": part.times} if part.times > 1 else {})
            for part in reason.parts
        ],
    }


def _written(part: Part, meter: Meter) -> str:
    if part.source == "none":
        return part.name
    amount = format_amount(part.amount if part.each is None else part.each, meter)
    if part.times > 1 or part.each is not None:
        seats = ngettext("%(n)s seat", "%(n)s seats", part.times) % {"n": format_count(part.times)}
        return f"{part.name} {amount} × {seats}"  # noqa: RUF001
    return f"{part.name} {amount}"


# --- What it adds up from ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Terms:
    verdict: Verdict
    limits: Mapping[str, PlanLimit]
    agreed: Mapping[str, int | None]
    adjustments: list[LimitAdjustment]


def _terms(verdict: Verdict, at: datetime) -> _Terms:
    """As quotas.engine.limits derives them, of that instant; a test compares the two."""
    standing = Q(starts_at__lte=at) & (Q(ends_at=None) | Q(ends_at__gt=at))
    standing &= Q(revoked_at=None) | Q(revoked_at__gt=at)
    organization = verdict.organization
    agreed: dict[str, int | None] = {}
    for grant in Grant.objects.filter(
        standing, organization=organization, source=verdict.source, plan_key=verdict.plan.key
    ).order_by("starts_at", "pk"):
        agreed |= grant.limits
    adjustments = LimitAdjustment.objects.filter(standing, organization=organization)
    return _Terms(
        verdict=verdict,
        limits={limit.meter: limit for limit in verdict.plan.limits.all()},
        agreed=agreed,
        adjustments=list(adjustments.order_by("starts_at", "pk")),
    )


def _parts(terms: _Terms, key: str) -> Iterator[Part]:
    if terms.verdict.is_beta:
        yield Part(source="beta", amount=None, name=_("Beta"))
        return
    live = [row for row in terms.adjustments if row.meter == key]
    base = _planned(terms, key)
    for row in live:
        if row.mode == LimitAdjustment.Mode.SET:
            base = Part(source="override", amount=row.amount, name=_("override"))
    yield base
    if base.amount is None:
        return
    bought = terms.verdict.added.get(key, 0)
    if bought:
        yield Part(source="pack", amount=bought, name=_("pack"))
    for row in live:
        if row.mode == LimitAdjustment.Mode.ADD:
            yield Part(source="pack", amount=row.amount, name=_("pack"))


def _planned(terms: _Terms, key: str) -> Part:
    plan, seats = terms.verdict.plan, terms.verdict.seats
    if key in terms.agreed:
        return Part(source="contract", amount=terms.agreed[key], name=_("contract"))
    limit = terms.limits.get(key)
    if limit is None:
        return Part(source="none", amount=0, name=_("not in %(plan)s") % {"plan": plan.name})
    amount: int | None = limit.amount
    covers = plan.data.get("seats") or {}
    pooled = limit.per == PlanLimit.Per.SEAT and amount is not None
    whole = amount * seats if pooled and amount is not None else amount
    if covers.get("cover") == key and covers.get("beyond") == "refuse":
        most = seats if whole is None else min(whole, seats)
        if most != whole:
            return Part(
                source="seats", amount=most, name=_("seats of %(plan)s") % {"plan": plan.name}
            )
    if pooled:
        return Part(source="plan", amount=whole, name=plan.name, each=amount, times=seats)
    return Part(source="plan", amount=whole, name=plan.name)


def _sum(parts: tuple[Part, ...]) -> int | None:
    amounts = [part.amount for part in parts]
    return None if None in amounts else sum(amount or 0 for amount in amounts)


# --- What was used ----------------------------------------------------------------------------


def _used_now(verdict: Verdict) -> dict[str, int]:
    found = usage.of(verdict.organization)
    return {
        reading.key: reading.used
        for reading in found.readings
        if reading.kind != Kind.CEILING and not reading.per_member
    }


def _used_then(verdict: Verdict, at: datetime) -> dict[str, int]:
    """From the last answer before that instant: each carries the balance after it."""
    organization = verdict.organization
    found = {}
    for key, meter in catalog.current().meters.items():
        if meter.kind not in {Kind.LEVEL, Kind.FLOW}:
            continue
        last = (
            UsageEvent.objects.filter(
                organization=organization, meter=key, per_member=False, occurred_at__lte=at
            )
            .order_by("-sequence")
            .values("used", "period_end")
            .first()
        )
        if last is not None:
            over = meter.kind == "flow" and last["period_end"] <= at
            found[key] = 0 if over else last["used"]
        elif not Balance.objects.filter(organization=organization, meter=key).exists():
            found[key] = 0
    return found
