"""Derives an organization's limits from its effective plan, under the head lock."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from billing import catalog
from billing.catalog.schema import Meter
from billing.entitlement.clock import now_for
from billing.entitlement.facts import CatalogueNotApplied
from billing.entitlement.store import current
from billing.models import Access, EffectivePlan, Grant, Invoice, PlanLimit
from orgs.exceptions import OrganizationNotFound
from orgs.models import Organization
from quotas.engine import counters, modes
from quotas.engine.meters import period_rule
from quotas.engine.periods import is_anchored, period_at
from quotas.engine.refresh import renew
from quotas.exceptions import NothingOnSale
from quotas.models import (
    LARGEST_AMOUNT,
    Credit,
    LimitAdjustment,
    Overage,
    PeriodRule,
    QuotaHead,
    Refusal,
    UsageControl,
    UsageLimit,
)
from quotas.signals import limits_derived, limits_lowered

VOID = datetime(1970, 1, 1, tzinfo=UTC)

_KEY = ("organization", "meter")
# The invoices that open a period; a paid one-off or proration resets nothing (B23).
_PERIOD_INVOICES = ("subscription_create", "subscription_cycle")
_DRAFT_TIME = timedelta(hours=2)  # Stripe makes the invoice within an hour of the period's start


@dataclass(frozen=True)
class _Terms:
    """Everything that the limits of one organization follow from."""

    organization: Organization
    effective: EffectivePlan
    at: datetime
    limits: dict[str, PlanLimit]
    agreed: dict[str, int | None]  # a contract's own amounts
    adjustments: list[LimitAdjustment]
    controls: dict[str, UsageControl]
    former: dict[str, UsageLimit]
    credited: frozenset[str]
    paid_until: datetime | None
    modes: modes.Modes


def refresh(organization_id: UUID) -> None:
    """For a decision that found its head missing or past `valid_until`.

    Raises OrganizationNotFound for an unknown or closed organization.
    """
    organization = Organization.objects.filter(pk=organization_id, closed_at=None).first()
    if organization is None:
        raise OrganizationNotFound("There is no such organization.")
    try:
        derive(organization, current(organization))
    except CatalogueNotApplied as error:
        raise NothingOnSale("Nothing is on sale here yet, so nothing is allowed.") from error


def derive(organization: Organization, effective: EffectivePlan) -> None:
    """Rewrites the limits and the head. Joins the transaction that changed the plan."""
    with transaction.atomic():
        head = lock_head(organization)
        if head.entitlement_sequence > effective.sequence:
            return  # a later verdict was here first
        terms = _gather(organization, effective)
        derived = [_limit(terms, key, meter) for key, meter in catalog.current().meters.items()]
        UsageLimit.objects.bulk_create(
            derived,
            update_conflicts=True,
            unique_fields=list(_KEY),
            update_fields=[
                field.name
                for field in UsageLimit._meta.concrete_fields  # noqa: SLF001  Django documents it
                if field.name not in {*_KEY, "pk"}
            ],
        )
        head.plan = effective.plan.key
        head.access = _access(effective)
        head.entitlement_sequence = effective.sequence
        head.frozen_at = _frozen_at(organization)
        head.valid_until = _valid_until(terms)
        head.sequence += 1
        head.limits_sequence = head.sequence
        head.save()
        limits_derived.send(UsageLimit, organization=organization, effective=effective)
        transaction.on_commit(partial(_announce, organization.pk, head.sequence))
        if any(_is_lower(terms.former.get(limit.meter), limit) for limit in derived):
            announce = partial(limits_lowered.send, UsageLimit, organization=organization)
            transaction.on_commit(announce, robust=True)


def _is_lower(former: UsageLimit | None, limit: UsageLimit) -> bool:
    if former is None or limit.amount is None:
        return False
    less = former.amount is None or limit.amount < former.amount
    return less or (limit.hard and not former.hard) or _cap(limit) < _cap(former)


def _cap(limit: UsageLimit) -> int:
    return LARGEST_AMOUNT if limit.overage_cap is None else limit.overage_cap


def _announce(organization_id: UUID, sequence: int) -> None:
    counters.forget(organization_id, sequence)
    renew(organization_id)


def catch_up(limit: int = 500) -> None:
    """Limits that time alone has ended, though nobody asks: a grant, a pack, an override."""
    now = Coalesce("frozen_at", Now())
    overdue = QuotaHead.objects.filter(valid_until__lte=now, organization__closed_at=None)
    for organization_id in overdue.order_by("pk").values_list("pk", flat=True)[:limit]:
        try:
            refresh(organization_id)
        except NothingOnSale:
            return


def void_readings(organization_id: UUID, **head: datetime) -> None:
    """For changes that move no limit (a clock, a closing): what was read before them is void."""
    QuotaHead.objects.filter(pk=organization_id).update(
        sequence=F("sequence") + 1, limits_sequence=F("sequence") + 1, **head
    )
    sequence = QuotaHead.objects.filter(pk=organization_id).values_list("sequence", flat=True)
    for found in sequence:
        transaction.on_commit(partial(counters.forget, organization_id, found))


def lock_head(organization: Organization) -> QuotaHead:
    """The head, locked for the rest of the transaction; made where it is missing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quota_head (organization_id, sequence, limits_sequence, plan, access,"
            " entitlement_sequence) VALUES (%s, 0, 0, '', 'full', 0) ON CONFLICT DO NOTHING",
            [organization.pk],
        )
    return QuotaHead.objects.select_for_update(no_key=True).get(organization=organization)


def _gather(organization: Organization, effective: EffectivePlan) -> _Terms:
    at = now_for(organization)
    return _Terms(
        organization=organization,
        effective=effective,
        at=at,
        limits={limit.meter: limit for limit in effective.plan.limits.all()},
        agreed=_agreed(organization, effective, at),
        adjustments=list(
            LimitAdjustment.objects.filter(
                Q(ends_at=None) | Q(ends_at__gt=at), organization=organization, revoked_at=None
            ).order_by("starts_at", "pk")
        ),
        controls={
            control.meter: control
            for control in UsageControl.objects.filter(organization=organization)
        },
        former={
            limit.meter: limit for limit in UsageLimit.objects.filter(organization=organization)
        },
        credited=frozenset(
            Credit.objects.filter(organization=organization, remaining__gt=0).values_list(
                "meter", flat=True
            )
        ),
        paid_until=_paid_until(organization, effective),
        modes=modes.load(organization),
    )


def _agreed(
    organization: Organization, effective: EffectivePlan, at: datetime
) -> dict[str, int | None]:
    """The amounts of the grants that gave this plan; a later grant wins."""
    grants = Grant.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=at),
        organization=organization,
        source=effective.source,
        plan_key=effective.plan.key,
        revoked_at=None,
        starts_at__lte=at,
    ).order_by("starts_at", "pk")
    agreed: dict[str, int | None] = {}
    for grant in grants:
        agreed |= grant.limits
    return agreed


def _limit(terms: _Terms, key: str, meter: Meter) -> UsageLimit:
    plan_limit = terms.limits.get(key)
    rule = period_rule(key)
    anchor = _anchor(terms, key)
    period = period_at(rule, anchor, terms.at, terms.paid_until)
    limit = UsageLimit(
        organization=terms.organization,
        meter=key,
        kind=meter.kind,
        refusal=_refusal(terms, key),
        amount=_amount(terms, key),
        hard=plan_limit is None or plan_limit.hard,
        per_member=plan_limit is not None and plan_limit.per == PlanLimit.Per.MEMBER,
        period_rule=rule,
        period_anchor=anchor,
        paid_until=terms.paid_until if rule == PeriodRule.PAID else None,
        period_start=period.start,
        period_end=period.end,
        enforcement=terms.modes.of(key),
        has_credits=key in terms.credited,
        derived_at=terms.at,
    )
    if not limit.hard:
        limit.overage, limit.overage_cap = _overage(terms, key)
        limit.hard = limit.overage == Overage.STOP
    return limit


def _access(effective: EffectivePlan) -> str:
    """Where the catalogue names the meters that grace stops, the others go on as before."""
    named = catalog.current().dunning.refused_during_grace
    return Access.FULL if named and effective.access == Access.RESTRICTED else effective.access


def _refusal(terms: _Terms, key: str) -> str:
    """Beta has every meter on; document 002's grace stops some meters at once."""
    effective = terms.effective
    if key not in terms.limits and key not in terms.agreed and not effective.is_beta:
        return Refusal.FEATURE_UNAVAILABLE
    stopped = catalog.current().dunning.refused_during_grace
    grace = effective.grace_ends_at
    owing = effective.access == Access.RESTRICTED or (grace is not None and terms.at < grace)
    if owing and key in stopped:
        return Refusal.PAYMENT_REQUIRED
    return Refusal.NONE


def _amount(terms: _Terms, key: str) -> int | None:
    """The plan's amount, or the contract's; then overrides, then what add-ons put on top."""
    if terms.effective.is_beta:
        return None
    amount = _planned(terms, key)
    live = [row for row in terms.adjustments if row.meter == key and row.starts_at <= terms.at]
    for row in live:
        if row.mode == LimitAdjustment.Mode.SET:
            amount = row.amount
    if amount is None:
        return None
    amount += int(terms.effective.added.get(key, 0))
    return amount + sum(row.amount or 0 for row in live if row.mode == LimitAdjustment.Mode.ADD)


def _planned(terms: _Terms, key: str) -> int | None:
    if key in terms.agreed:
        return terms.agreed[key]
    plan_limit = terms.limits.get(key)
    if plan_limit is None:
        return 0
    amount: int | None = plan_limit.amount
    if amount is not None and plan_limit.per == PlanLimit.Per.SEAT:
        amount *= terms.effective.seats
    seats: dict[str, Any] = terms.effective.plan.data.get("seats") or {}
    if seats.get("cover") == key and seats.get("beyond") == "refuse":
        return terms.effective.seats if amount is None else min(amount, terms.effective.seats)
    return amount


def _overage(terms: _Terms, key: str) -> tuple[Overage, int | None]:
    """How a soft limit goes on, and after how many units it stops; null for never."""
    priced: dict[str, Any] | None = terms.limits[key].overage
    if not priced:
        return Overage.ALLOW, None
    control = terms.controls.get(key)
    if control is not None and control.choice == UsageControl.Choice.STOP:
        return Overage.STOP, None
    currency = terms.effective.currency or catalog.current().currencies[0]
    cap = (priced.get("cap") or {}).get(currency)
    if control is not None and control.cap is not None:
        cap, currency = control.cap, control.currency or currency
    rate = Decimal((priced.get("rates") or {}).get(currency, 0))
    if cap is None or rate <= 0:
        return Overage.BILL, None
    return Overage.BILL, int(Decimal(cap) * int(priced.get("per", 1)) / rate)


def _anchor(terms: _Terms, key: str) -> datetime:
    """Where usage months are counted from: kept while it explains the period's start.

    A subscription of 31 Jan begins its second month on 28 Feb; counting on from there would
    lose the 31st (C14).
    """
    start = terms.effective.period_start
    former = terms.former.get(key)
    if start is None:
        return terms.organization.created_at
    if former is not None and is_anchored(former.period_anchor, start):
        return former.period_anchor
    for created in terms.organization.subscriptions.filter(
        stripe_id=terms.effective.subscription_id
    ).values_list("created_at", flat=True):
        if is_anchored(created, start):
            return created
    return start


def _paid_until(organization: Organization, effective: EffectivePlan) -> datetime | None:
    """The end of the last paid period; None where nothing is paid by invoice."""
    start, end = effective.period_start, effective.period_end
    if not effective.subscription_id or start is None or end is None:
        return None
    paid = Invoice.objects.filter(
        organization=organization,
        subscription_id=effective.subscription_id,
        status=Invoice.Status.PAID,
        billing_reason__in=_PERIOD_INVOICES,
        created_at__gte=start - _DRAFT_TIME,
    ).exists()
    return end if paid else start


def _frozen_at(organization: Organization) -> datetime | None:
    account = getattr(organization, "billing_account", None)
    if account is None:
        return None
    account.refresh_from_db(fields=["frozen_at"])
    frozen: datetime | None = account.frozen_at
    return frozen


def _valid_until(terms: _Terms) -> datetime | None:
    """A closed organization's verdicts are void: every decision asks again, and finds none."""
    if terms.organization.closed_at is not None:
        return VOID
    return min(_later_instants(terms), default=None)


def _later_instants(terms: _Terms) -> Iterator[datetime]:
    """When these limits can change by time alone."""
    if terms.effective.valid_until is not None:
        yield terms.effective.valid_until
    instants: Iterable[datetime | None] = (
        instant for row in terms.adjustments for instant in (row.starts_at, row.ends_at)
    )
    yield from (instant for instant in instants if instant is not None and instant > terms.at)
