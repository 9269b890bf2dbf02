"""`resolve`: from facts and an instant to the effective plan. Pure: no clock, no database.

DESIGN, Money in: site-owner override > enterprise contract > manual override or pilot > Stripe
subscription > trial grant > default plan. What is not known for certain never raises a tier.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from billing.models.effective_plan import Access, Source

Grants = Literal["full", "restricted", "read_only", "none"]

_GRANT_RANK: Mapping[str, int] = {
    Source.SITE_OWNER: 0,
    Source.CONTRACT: 1,
    Source.MANUAL: 2,
    Source.PILOT: 2,
    Source.TRIAL: 4,
}
_STRIPE_RANK = 3
_DEFAULT_RANK = 5
# Somebody decided by hand that these stay on, so an unpaid invoice does not touch their access.
_ABOVE_DUNNING = frozenset({Source.SITE_OWNER, Source.MANUAL, Source.PILOT})
_SEVERITY: Mapping[Access, int] = {Access.FULL: 0, Access.RESTRICTED: 1, Access.READ_ONLY: 2}


@dataclass(frozen=True, kw_only=True)
class PlanRef:
    """One version of a plan, as the price or the grant names it."""

    key: str
    version: int


@dataclass(frozen=True, kw_only=True)
class SubscriptionFact:
    """One Stripe subscription. `plan` is None when its price is not in any catalogue (A19)."""

    stripe_id: str
    status: str
    plan: PlanRef | None
    price_id: str
    quantity: int
    interval: str
    currency: str
    livemode: bool
    created_at: datetime
    period_start: datetime | None = None
    period_end: datetime | None = None
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    trial_end: datetime | None = None
    paused: bool = False

    @property
    def ends_at(self) -> datetime | None:
        """When a decision already taken ends it; the portal may set either field (sequence 6)."""
        if self.cancel_at is not None:
            return self.cancel_at
        return self.period_end if self.cancel_at_period_end else None


@dataclass(frozen=True, kw_only=True)
class InvoiceFact:
    """One invoice that may still be owed; amounts in minor units."""

    stripe_id: str
    status: str
    billing_reason: str
    subscription_id: str
    collection_method: str
    amount_remaining: int
    attempt_count: int
    finalized_at: datetime | None
    due_date: datetime | None = None
    disputed: bool = False


@dataclass(frozen=True, kw_only=True)
class GrantFact:
    id: int
    source: Source
    plan: PlanRef | None
    seats: int | None
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything a verdict may rest on; stored with each change, so that the past can be judged."""

    subscriptions: tuple[SubscriptionFact, ...] = ()
    invoices: tuple[InvoiceFact, ...] = ()
    grants: tuple[GrantFact, ...] = ()
    # This installation's mode; a subscription of the other mode grants nothing (A20).
    livemode: bool = False
    configured: bool = True
    has_ever_billed: bool = False
    customer_deleted: bool = False


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The catalogue's part of the decision."""

    default_plan: PlanRef
    status_grants: Mapping[str, Grants]
    grace: timedelta
    access_during_grace: Access
    at_end: Literal["lock", "downgrade"]
    beta: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the trace: what was looked at, what came of it, and the facts in numbers."""

    subject: str
    outcome: str
    detail: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The verdict. `valid_until` is the next instant at which time alone can change it."""

    plan: PlanRef
    source: Source
    status: str
    access: Access
    reason: str
    seats: int = 1
    interval: str = ""
    currency: str = ""
    price_id: str = ""
    subscription_id: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    ends_at: datetime | None = None
    grace_ends_at: datetime | None = None
    valid_until: datetime | None = None
    is_beta: bool = False
    trace: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    rank: int
    # Ties are broken by age and id, so that every order of facts gives one answer.
    tie: tuple[float, str]
    verdict: Resolution


def resolve(facts: Facts, policy: Policy, now: datetime) -> Resolution:
    """The one answer for these facts at this instant, whatever the order they came in."""
    trace: list[Step] = []
    candidates = [
        *_from_grants(facts, now, trace),
        *_from_subscriptions(facts, policy, now, trace),
        _default(facts, policy, trace),
    ]
    winner = min(candidates, key=lambda found: (found.rank, found.tie)).verdict
    trace.append(Step(subject="winner", outcome=winner.source, detail={"plan": winner.plan.key}))
    verdict = _with_dunning(winner, facts, policy, now, trace)
    changes = [*_instants(facts, policy), verdict.grace_ends_at]
    return replace(
        verdict,
        valid_until=min((at for at in changes if at is not None and at > now), default=None),
        trace=tuple(trace),
    )


# --- Sources ----------------------------------------------------------------------------------


def _from_grants(facts: Facts, now: datetime, trace: list[Step]) -> Iterator[_Candidate]:
    for grant in sorted(facts.grants, key=lambda found: found.id):
        subject = f"{grant.source}:{grant.id}"
        refused = _grant_refusal(grant, now)
        if grant.plan is None or refused:
            trace.append(Step(subject=subject, outcome=refused or "unknown_plan"))
            continue
        trace.append(Step(subject=subject, outcome="applies", detail={"plan": grant.plan.key}))
        yield _Candidate(
            rank=_GRANT_RANK[grant.source],
            tie=(-grant.starts_at.timestamp(), str(grant.id)),
            verdict=Resolution(
                plan=grant.plan,
                source=grant.source,
                status="trialing" if grant.source == Source.TRIAL else "active",
                access=Access.FULL,
                reason=f"{grant.source}_grant",
                seats=grant.seats or 1,
                ends_at=grant.ends_at,
                period_end=grant.ends_at,
                period_start=grant.starts_at,
            ),
        )


def _grant_refusal(grant: GrantFact, now: datetime) -> str:
    if grant.source not in _GRANT_RANK:
        return "unknown_source"
    if grant.starts_at > now:
        return "not_started"
    if grant.ends_at is not None and grant.ends_at <= now:
        return "ended"
    return ""


def _from_subscriptions(
    facts: Facts, policy: Policy, now: datetime, trace: list[Step]
) -> Iterator[_Candidate]:
    for found in sorted(facts.subscriptions, key=lambda s: (s.created_at, s.stripe_id)):
        grants, refused = _subscription_grants(found, facts, policy, now)
        if found.plan is None or refused:
            trace.append(_subscription_step(found, refused or "unknown_price"))
            continue
        trace.append(_subscription_step(found, f"grants_{grants}"))
        yield _Candidate(
            rank=_STRIPE_RANK,
            tie=(found.created_at.timestamp(), found.stripe_id),
            verdict=_subscribed(found, found.plan, Access(grants)),
        )


def _subscription_grants(
    found: SubscriptionFact, facts: Facts, policy: Policy, now: datetime
) -> tuple[Grants, str]:
    status = "paused" if found.paused else found.status
    grants = policy.status_grants.get(status, "none")
    doubts = {
        "customer_deleted": facts.customer_deleted,
        "other_mode": found.livemode != facts.livemode,
        "unknown_price": found.plan is None,
        f"status_{status}": grants == "none",
        "first_payment_open": _first_payment_is_open(found, facts),
        "cancelled": found.ends_at is not None and found.ends_at <= now,
    }
    refused = next((doubt for doubt, holds in doubts.items() if holds), "")
    return ("none", refused) if refused else (grants, "")


def _first_payment_is_open(found: SubscriptionFact, facts: Facts) -> bool:
    """Stripe calls a subscription active while a bank debit is still under way; we wait (B7)."""
    return any(
        invoice.subscription_id == found.stripe_id
        and invoice.billing_reason == "subscription_create"
        and invoice.collection_method != "send_invoice"
        and invoice.status != "paid"
        and invoice.amount_remaining > 0
        for invoice in facts.invoices
    )


def _subscription_step(found: SubscriptionFact, outcome: str) -> Step:
    detail: dict[str, str | int | None] = {
        "status": found.status,
        "price": found.price_id,
        "quantity": found.quantity,
        "plan": found.plan.key if found.plan else None,
    }
    return Step(subject=f"stripe:{found.stripe_id}", outcome=outcome, detail=detail)


def _subscribed(found: SubscriptionFact, plan: PlanRef, access: Access) -> Resolution:
    return Resolution(
        plan=plan,
        source=Source.STRIPE,
        status=found.status,
        access=access,
        reason=f"subscription_{found.status}",
        seats=found.quantity,
        interval=found.interval,
        currency=found.currency,
        price_id=found.price_id,
        subscription_id=found.stripe_id,
        period_start=found.period_start,
        period_end=found.period_end,
        ends_at=found.ends_at,
    )


def _default(facts: Facts, policy: Policy, trace: list[Step]) -> _Candidate:
    beta = policy.beta and not facts.configured and not facts.has_ever_billed
    if policy.beta and not facts.configured and facts.has_ever_billed:
        trace.append(Step(subject="beta", outcome="closed_because_it_has_billed"))
    source = Source.BETA if beta else Source.DEFAULT
    trace.append(Step(subject=source, outcome="applies", detail={"plan": policy.default_plan.key}))
    return _Candidate(
        rank=_DEFAULT_RANK,
        tie=(0.0, ""),
        verdict=Resolution(
            plan=policy.default_plan,
            source=source,
            status="active",
            access=Access.FULL,
            reason="beta" if beta else "default_plan",
            is_beta=beta,
        ),
    )


# --- Dunning ----------------------------------------------------------------------------------


def _with_dunning(
    winner: Resolution, facts: Facts, policy: Policy, now: datetime, trace: list[Step]
) -> Resolution:
    """Grace and lock, derived from the oldest open failed invoice and nothing else (D1-D3)."""
    owed = owed_since(facts, now)
    if owed is None:
        return winner
    since, invoice = owed
    ends = since + policy.grace
    step = {"invoice": invoice.stripe_id, "since": since.isoformat(), "ends": ends.isoformat()}
    if winner.source in _ABOVE_DUNNING:
        trace.append(Step(subject="dunning", outcome="overridden", detail=step))
        return winner
    if now < ends:
        trace.append(Step(subject="dunning", outcome="grace", detail=step))
        access = _stricter(winner.access, policy.access_during_grace)
        return replace(winner, access=access, reason="payment_failed_grace", grace_ends_at=ends)
    trace.append(Step(subject="dunning", outcome=policy.at_end, detail=step))
    if policy.at_end == "lock":
        return replace(
            winner, access=Access.READ_ONLY, reason="payment_failed_lock", grace_ends_at=ends
        )
    if winner.source != Source.STRIPE:
        return winner
    return Resolution(
        plan=policy.default_plan,
        source=Source.DEFAULT,
        status=winner.status,
        access=Access.FULL,
        reason="payment_failed_downgrade",
        subscription_id=winner.subscription_id,
        grace_ends_at=ends,
    )


def owed_since(facts: Facts, now: datetime) -> tuple[datetime, InvoiceFact] | None:
    """The oldest open failed invoice and when its grace began: `finalized_at`, or `due_date`."""
    never_started = {
        found.stripe_id
        for found in facts.subscriptions
        if found.status in {"incomplete", "incomplete_expired"}
        or _first_payment_is_open(found, facts)
    }
    failed = [
        (since, invoice)
        for invoice in facts.invoices
        if invoice.subscription_id not in never_started
        and (since := _failed_since(invoice, now)) is not None
    ]
    return min(failed, key=lambda found: (found[0], found[1].stripe_id), default=None)


def _failed_since(invoice: InvoiceFact, now: datetime) -> datetime | None:
    """Void is not owed, uncollectible stays owed (D5), and nothing is owed of zero (D6)."""
    if invoice.status not in {"open", "uncollectible"} or invoice.amount_remaining <= 0:
        return None
    if invoice.collection_method == "send_invoice":
        due = invoice.due_date
        return due if due is not None and due <= now else None
    return invoice.finalized_at if invoice.attempt_count > 0 else None


def _stricter(one: Access, other: Access) -> Access:
    return max(one, other, key=lambda access: _SEVERITY[access])


def _instants(facts: Facts, policy: Policy) -> Iterable[datetime | None]:
    """Every instant at which time alone may change the answer."""
    for grant in facts.grants:
        yield grant.starts_at
        yield grant.ends_at
    for found in facts.subscriptions:
        yield found.ends_at
    for invoice in facts.invoices:
        start = (
            invoice.due_date
            if invoice.collection_method == "send_invoice"
            else invoice.finalized_at
        )
        yield start
        yield start + policy.grace if start else None
