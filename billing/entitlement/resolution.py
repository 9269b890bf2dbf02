"""`resolve`: from facts and an instant to the effective plan. Pure: no clock, no database.

DESIGN, Money in: site-owner override > enterprise contract > manual override or pilot > Stripe
subscription > trial grant > default plan. What is not known for certain never raises a tier.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from billing.entitlement.dunning import first_payment_is_open, with_disputes, with_dunning
from billing.entitlement.verdict import (
    Facts,
    GrantFact,
    Grants,
    LicenceFact,
    PlanRef,
    Policy,
    Resolution,
    Step,
    SubscriptionFact,
)
from billing.models.effective_plan import Access, Source

_GRANT_RANK: Mapping[str, int] = {
    Source.SITE_OWNER: 0,
    Source.CONTRACT: 1,
    Source.MANUAL: 2,
    Source.PILOT: 2,
    Source.TRIAL: 4,
}
_STRIPE_RANK = 3
_LICENCE_RANK = 5
_DEFAULT_RANK = 6
# What pays for a whole period; prorations do not.
_PERIOD_INVOICES = frozenset({"subscription_create", "subscription_cycle"})


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    # What the trace calls it.
    subject: str
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
        *_from_licence(facts, policy, now, trace),
        _default(facts, policy, trace),
    ]
    best = min(candidates, key=lambda found: (found.rank, found.tie))
    winner = best.verdict
    named: dict[str, str | int | None] = {"plan": winner.plan.key, "subject": best.subject}
    trace.append(Step(subject="winner", outcome=winner.source, detail=named))
    verdict = with_dunning(winner, facts, policy, now, trace)
    verdict = with_disputes(verdict, facts, policy, trace)
    verdict = _within_licence(verdict, facts, policy, now, trace)
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
            subject=subject,
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
            subject=f"stripe:{found.stripe_id}",
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
        "first_payment_open": first_payment_is_open(found, facts),
        "cancelled": found.ends_at is not None and found.ends_at <= now,
        "refunded": _was_paid_back(found, facts, policy),
    }
    refused = next((doubt for doubt, holds in doubts.items() if holds), "")
    return ("none", refused) if refused else (grants, "")


def _was_paid_back(found: SubscriptionFact, facts: Facts, policy: Policy) -> bool:
    """The money of its present period went back, in a measure that ends the plan."""
    return any(
        invoice.subscription_id == found.stripe_id
        and invoice.billing_reason in _PERIOD_INVOICES
        and invoice.period_end == found.period_end
        and invoice.amount_refunded > 0
        and (
            policy.full_refund
            if invoice.amount_refunded >= invoice.amount_paid
            else policy.partial_refund
        )
        == "end"
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
        added=found.added,
    )


def _from_licence(
    facts: Facts, policy: Policy, now: datetime, trace: list[Step]
) -> Iterator[_Candidate]:
    """Where Stripe sells the plans the licence only caps them; else it is what everybody has."""
    if facts.licence is None:
        return
    plan, refused = _licensed(facts.licence, policy, now)
    if plan is None:
        trace.append(Step(subject="licence", outcome=refused))
        return
    detail: dict[str, str | int | None] = {"plan": plan.key, "seats": facts.licence.seats}
    if facts.configured:
        trace.append(Step(subject="licence", outcome="caps", detail=detail))
        return
    trace.append(Step(subject="licence", outcome="applies", detail=detail))
    yield _Candidate(
        subject="licence",
        rank=_LICENCE_RANK,
        tie=(0.0, ""),
        verdict=Resolution(
            plan=plan,
            source=Source.LICENCE,
            status="active",
            access=Access.FULL,
            reason="licence",
            seats=facts.licence.seats or 1,
            ends_at=facts.licence.ends_at,
        ),
    )


def _licensed(licence: LicenceFact, policy: Policy, now: datetime) -> tuple[PlanRef | None, str]:
    if licence.refusal:
        return None, licence.refusal
    if licence.plan is None or licence.plan.key not in policy.ladder:
        return None, "unknown_plan"
    if licence.starts_at is None or licence.starts_at > now:
        return None, "not_started"
    if licence.ends_at is None or licence.ends_at <= now:
        return None, "expired"
    return licence.plan, ""


def _default(facts: Facts, policy: Policy, trace: list[Step]) -> _Candidate:
    beta = policy.beta and not facts.configured and not facts.has_ever_billed
    if beta and facts.licence is not None:
        beta = False
        trace.append(Step(subject="beta", outcome="closed_because_a_licence_is_needed"))
    if policy.beta and not facts.configured and facts.has_ever_billed:
        trace.append(Step(subject="beta", outcome="closed_because_it_has_billed"))
    source = Source.BETA if beta else Source.DEFAULT
    trace.append(Step(subject=source, outcome="applies", detail={"plan": policy.default_plan.key}))
    return _Candidate(
        subject=str(source),
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


def _within_licence(
    verdict: Resolution, facts: Facts, policy: Policy, now: datetime, trace: list[Step]
) -> Resolution:
    """No source raises a plan above the licence's, and without one nothing rises above default."""
    licence = facts.licence
    if licence is None:
        return verdict
    plan, refused = _licensed(licence, policy, now)
    if plan is not None and licence.seats is not None:
        verdict = replace(verdict, seats=min(verdict.seats, licence.seats))
    most = plan or policy.default_plan
    if _rung(verdict.plan, policy, unknown=len(policy.ladder)) <= _rung(most, policy, unknown=-1):
        return verdict
    detail = {"plan": verdict.plan.key, "source": str(verdict.source), "most": most.key}
    trace.append(Step(subject="licence", outcome="capped", detail=detail))
    return replace(
        verdict,
        plan=most,
        source=Source.DEFAULT if plan is None else Source.LICENCE,
        reason=f"licence_{refused}" if plan is None else "licence_cap",
        added={},
    )


def _rung(plan: PlanRef, policy: Policy, *, unknown: int) -> int:
    return policy.ladder.index(plan.key) if plan.key in policy.ladder else unknown


def _instants(facts: Facts, policy: Policy) -> Iterable[datetime | None]:
    """Every instant at which time alone may change the answer."""
    for grant in facts.grants:
        yield grant.starts_at
        yield grant.ends_at
    if facts.licence is not None:
        yield facts.licence.starts_at
        yield facts.licence.ends_at
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
