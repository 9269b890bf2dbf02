"""From the plans page to the first payment, from trial to payment, and who owes: counted, dated."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from uuid import UUID

from django.db.models import Max, Min
from django.utils import timezone

from billing.models import (
    CheckoutIntent,
    EffectivePlan,
    EffectivePlanChange,
    Grant,
    Invoice,
    PlansVisit,
    Source,
    Subscription,
)

_UNPAID = ("trialing", "incomplete", "incomplete_expired", "canceled")


@dataclass(frozen=True, kw_only=True)
class Upgrades:
    """Organizations without a subscription that looked; of those who ordered; of those who paid."""

    looked: int
    ordered: int
    paid: int

    @property
    def rate(self) -> Fraction | None:
        return Fraction(self.paid, self.looked) if self.looked else None


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Of the trials that began: those that pay now or did, those that ended, those that run."""

    began: int
    converted: int
    ended: int
    running: int

    @property
    def rate(self) -> Fraction | None:
        """Running trials have not decided yet, so they do not count."""
        decided = self.converted + self.ended
        return Fraction(self.converted, decided) if decided else None


@dataclass(frozen=True, kw_only=True)
class Owed:
    """Open invoices that failed or are past their day, of one currency."""

    currency: str
    organizations: int
    amount: int
    in_grace: int
    restricted: int  # locked, or fallen to the default plan


def upgrades(since: datetime, until: datetime) -> Upgrades:
    """Three queries."""
    looked = dict(
        PlansVisit.objects.filter(day__gte=_day(since), day__lte=_day(until))
        .values_list("organization_id")
        .annotate(first=Min("day"))
    )
    intents = CheckoutIntent.objects.filter(
        organization_id__in=looked, created_at__gte=since, created_at__lt=until
    ).values_list("organization_id", "created_at", "completed_at")
    ordered, paid = set(), set()
    for organization, created, completed in intents:
        if _day(created) >= looked[organization]:
            ordered.add(organization)
            if completed is not None:
                paid.add(organization)
    return Upgrades(looked=len(looked), ordered=len(ordered), paid=len(paid))


def trials(since: datetime, until: datetime) -> Trials:
    """Ours and Stripe's own; one per organization, the first of the time."""
    began = _began(since, until)
    paid = dict(
        EffectivePlanChange.objects.filter(organization_id__in=began, source=Source.STRIPE)
        .exclude(status__in=_UNPAID)
        .values_list("organization_id")
        .annotate(last=Max("recorded_at"))
    )
    converted = {who for who, (start, _end) in began.items() if who in paid and paid[who] >= start}
    now = timezone.now()
    running = {
        who
        for who, (_start, end) in began.items()
        if who not in converted and (end is None or end > now)
    }
    return Trials(
        began=len(began),
        converted=len(converted),
        ended=len(began) - len(converted) - len(running),
        running=len(running),
    )


def owed() -> list[Owed]:
    """Now, by currency: amounts of different currencies are no sum."""
    open_invoices = Invoice.objects.filter(
        status__in=["open", "uncollectible"], amount_remaining__gt=0
    ).values_list("organization_id", "currency", "amount_remaining", "attempt_count", "due_date")
    now = timezone.now()
    failed = [
        (organization, currency, amount)
        for organization, currency, amount, attempts, due in open_invoices
        if attempts or (due is not None and due <= now)
    ]
    standing = _standing({organization for organization, _currency, _amount in failed})
    amounts: dict[str, int] = defaultdict(int)
    owing: dict[str, set[UUID]] = defaultdict(set)
    for organization, currency, amount in failed:
        amounts[currency] += amount
        owing[currency].add(organization)
    return [
        Owed(
            currency=currency,
            organizations=len(owing[currency]),
            amount=amounts[currency],
            in_grace=sum(standing.get(who) == "grace" for who in owing[currency]),
            restricted=sum(standing.get(who) == "over" for who in owing[currency]),
        )
        for currency in sorted(amounts)
    ]


def _began(since: datetime, until: datetime) -> dict[UUID, tuple[datetime, datetime | None]]:
    grants = Grant.objects.filter(
        source=Source.TRIAL, created_at__gte=since, created_at__lt=until
    ).values_list("organization_id", "created_at", "ends_at", "revoked_at")
    at_stripe = Subscription.objects.filter(
        trial_end__isnull=False, created_at__gte=since, created_at__lt=until
    ).values_list("organization_id", "created_at", "trial_end")
    found: dict[UUID, tuple[datetime, datetime | None]] = {}
    for who, start, end, revoked in sorted(grants, key=lambda row: row[1]):
        found.setdefault(who, (start, revoked or end))
    for who, start, end in sorted(at_stripe, key=lambda row: row[1]):
        found.setdefault(who, (start, end))
    return found


def _standing(organizations: Iterable[UUID]) -> Mapping[UUID, str]:
    rows = EffectivePlan.objects.filter(organization_id__in=organizations)
    return {
        who: "grace" if reason == "payment_failed_grace" else "over"
        for who, reason in rows.values_list("organization_id", "reason")
        if reason.startswith("payment_failed")
    }


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
