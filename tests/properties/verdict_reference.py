"""An independent answer to "which plan, from where, with what access?", written from the design.

It is a list of rules from the strongest to the weakest, read one after the other, and knows nothing
of how `resolve` is made. Where both differ, one of them is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from billing.entitlement.verdict import (
    Facts,
    GrantFact,
    InvoiceFact,
    PlanRef,
    Policy,
    SubscriptionFact,
)

BY_HAND = ("site_owner", "manual", "pilot")


@dataclass(frozen=True)
class Answer:
    plan: str
    source: str
    access: str
    grace_ends_at: datetime | None


def answer(facts: Facts, policy: Policy, now: datetime) -> Answer:
    """Debts first; then a payment that the bank took back for good, which time does not heal."""
    found = _with_debts(facts, policy, now)
    taken_back = any(invoice.dispute == "lost" for invoice in facts.invoices)
    if not taken_back or found.source in BY_HAND or policy.lost_dispute == "flag":
        return found
    if policy.lost_dispute == "lock":
        return replace(found, access="read_only")
    if found.source == "stripe":
        return Answer(policy.default_plan.key, "default", "full", None)
    return found


def _with_debts(facts: Facts, policy: Policy, now: datetime) -> Answer:
    plan, source, access = _plan(facts, policy, now)
    started = _oldest_debt(facts, now)
    if started is None or source in BY_HAND:
        return Answer(plan.key, source, access, None)
    end = started + policy.grace
    if now < end:
        during = str(policy.access_during_grace.value)
        strictest = max(access, during, key=["full", "restricted", "read_only"].index)
        return Answer(plan.key, source, strictest, end)
    if policy.at_end == "lock":
        return Answer(plan.key, source, "read_only", end)
    if source == "stripe":
        return Answer(policy.default_plan.key, "default", "full", end)
    return Answer(plan.key, source, access, None)


def _plan(facts: Facts, policy: Policy, now: datetime) -> tuple[PlanRef, str, str]:
    for group in (("site_owner",), ("contract",), ("manual", "pilot")):
        for grant in _in_force(facts, group, now):
            return _known(grant), str(grant.source.value), "full"
    for found in sorted(facts.subscriptions, key=lambda one: (one.created_at, one.stripe_id)):
        grants = _granted(found, facts, policy, now)
        if found.plan is not None and grants != "none":
            return found.plan, "stripe", grants
    for grant in _in_force(facts, ("trial",), now):
        return _known(grant), "trial", "full"
    open_beta = policy.beta and not facts.configured and not facts.has_ever_billed
    return policy.default_plan, "beta" if open_beta else "default", "full"


def _known(grant: GrantFact) -> PlanRef:
    assert grant.plan is not None
    return grant.plan


def _in_force(facts: Facts, sources: tuple[str, ...], now: datetime) -> list[GrantFact]:
    """The newest first; of two that began together the lower id."""
    held = [
        one
        for one in facts.grants
        if one.source.value in sources
        and one.plan is not None
        and one.starts_at <= now
        and (one.ends_at is None or now < one.ends_at)
    ]
    held.sort(key=lambda one: str(one.id))
    held.sort(key=lambda one: one.starts_at, reverse=True)
    return held


def _granted(found: SubscriptionFact, facts: Facts, policy: Policy, now: datetime) -> str:
    if facts.customer_deleted or found.livemode != facts.livemode or _has_ended(found, now):
        return "none"
    if any(_is_first_and_open(one, found) for one in facts.invoices):
        return "none"
    if any(_gives_the_period_back(one, found, policy) for one in facts.invoices):
        return "none"
    return str(policy.status_grants.get("paused" if found.paused else found.status, "none"))


def _has_ended(found: SubscriptionFact, now: datetime) -> bool:
    if found.cancel_at is not None:
        return now >= found.cancel_at
    if not found.cancel_at_period_end or found.period_end is None:
        return False
    return now >= found.period_end


def _is_first_and_open(invoice: InvoiceFact, found: SubscriptionFact) -> bool:
    if invoice.subscription_id != found.stripe_id or invoice.amount_remaining == 0:
        return False
    first = invoice.billing_reason == "subscription_create"
    return first and invoice.status != "paid" and invoice.collection_method != "send_invoice"


def _gives_the_period_back(invoice: InvoiceFact, found: SubscriptionFact, policy: Policy) -> bool:
    if invoice.subscription_id != found.stripe_id or invoice.period_end != found.period_end:
        return False
    if invoice.billing_reason not in ("subscription_create", "subscription_cycle"):
        return False
    if invoice.amount_refunded == 0:
        return False
    whole = invoice.amount_refunded >= invoice.amount_paid
    return (policy.full_refund if whole else policy.partial_refund) == "end"


def _oldest_debt(facts: Facts, now: datetime) -> datetime | None:
    return min(_debts(facts, now), default=None)


def _debts(facts: Facts, now: datetime) -> Iterator[datetime]:
    for invoice in facts.invoices:
        owner = next(
            (s for s in facts.subscriptions if s.stripe_id == invoice.subscription_id), None
        )
        if owner is not None and _never_began(owner, facts):
            continue
        if invoice.amount_remaining == 0 or invoice.status not in ("open", "uncollectible"):
            continue
        if invoice.collection_method == "send_invoice":
            if invoice.due_date is not None and now >= invoice.due_date:
                yield invoice.due_date
        elif invoice.attempt_count and invoice.finalized_at is not None:
            yield invoice.finalized_at


def _never_began(found: SubscriptionFact, facts: Facts) -> bool:
    if found.status in ("incomplete", "incomplete_expired"):
        return True
    return any(_is_first_and_open(one, found) for one in facts.invoices)
