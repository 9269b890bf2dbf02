"""What is owed, and what that takes away: grace, lock and downgrade, and disputes that were lost.

Pure, as `resolve` is, which asks it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from billing.entitlement.verdict import (
    Facts,
    InvoiceFact,
    Policy,
    Resolution,
    Step,
    SubscriptionFact,
)
from billing.models.effective_plan import Access, Source

# Somebody decided by hand that these stay on, so an unpaid invoice does not touch their access.
_ABOVE_DUNNING = frozenset({Source.SITE_OWNER, Source.MANUAL, Source.PILOT})
_SEVERITY: Mapping[Access, int] = {Access.FULL: 0, Access.RESTRICTED: 1, Access.READ_ONLY: 2}


def with_dunning(
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


def with_disputes(
    verdict: Resolution, facts: Facts, policy: Policy, trace: list[Step]
) -> Resolution:
    """A payment that the bank took back for good; only staff can settle that (D4)."""
    lost = sorted(found.stripe_id for found in facts.invoices if found.dispute == "lost")
    if not lost:
        return verdict
    above = verdict.source in _ABOVE_DUNNING
    outcome = "overridden" if above else policy.lost_dispute
    trace.append(Step(subject="dispute", outcome=outcome, detail={"invoice": lost[0]}))
    if outcome == "lock":
        return replace(verdict, access=Access.READ_ONLY, reason="dispute_lost_lock")
    if outcome == "downgrade" and verdict.source == Source.STRIPE:
        return Resolution(
            plan=policy.default_plan,
            source=Source.DEFAULT,
            status=verdict.status,
            access=Access.FULL,
            reason="dispute_lost_downgrade",
            subscription_id=verdict.subscription_id,
        )
    return verdict


def owed_since(facts: Facts, now: datetime) -> tuple[datetime, InvoiceFact] | None:
    """The oldest open failed invoice and when its grace began: `finalized_at`, or `due_date`."""
    never_started = {
        found.stripe_id
        for found in facts.subscriptions
        if found.status in {"incomplete", "incomplete_expired"}
        or first_payment_is_open(found, facts)
    }
    pending = {found.pending_invoice for found in facts.subscriptions}
    failed = [
        (since, invoice)
        for invoice in facts.invoices
        if invoice.subscription_id not in never_started
        and invoice.stripe_id not in pending
        and (since := _failed_since(invoice, now)) is not None
    ]
    return min(failed, key=lambda found: (found[0], found[1].stripe_id), default=None)


def first_payment_is_open(found: SubscriptionFact, facts: Facts) -> bool:
    """Stripe calls a subscription active while a bank debit is still under way; we wait (B7)."""
    return any(
        invoice.subscription_id == found.stripe_id
        and invoice.billing_reason == "subscription_create"
        and invoice.collection_method != "send_invoice"
        and invoice.status != "paid"
        and invoice.amount_remaining > 0
        for invoice in facts.invoices
    )


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
