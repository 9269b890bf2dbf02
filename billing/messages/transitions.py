"""Tells people when a plan or its access has changed, or is about to; each thing once.

The verdict needs none of this (DESIGN, Money in): it only makes visible what is already true. Keys
name the invoice, subscription or grant, never our own numbering, so that the order in which events
came changes no mail.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.dispatch import receiver

from billing import catalog
from billing.catalog.policies import Trial
from billing.entitlement import beta, clock, store
from billing.messages import causes, mails
from billing.models import Access, EffectivePlan, EffectivePlanChange, OutboxMessage, Source
from billing.models.effective_plan import Verdict
from billing.signals import entitlement_changed
from orgs.models import Organization

logger = structlog.get_logger(__name__)

_LAST_CALL: Final = timedelta(days=1)
_CHUNK: Final = 500


@receiver(entitlement_changed)
def on_entitlement_changed(
    sender: object, organization: Organization, effective: EffectivePlan, **kwargs: Any
) -> None:
    """In the transaction that made it true."""
    if organization.closed_at is not None:
        return
    before = (
        EffectivePlanChange.objects.filter(
            organization=organization, sequence__lt=effective.sequence
        )
        .select_related("plan")
        .order_by("-sequence")
        .first()
    )
    if before is not None:
        _tell_of_access(organization, before, effective)
        _tell_of_plan(organization, before, effective)


def make_due_changes_visible() -> int:
    """Every minute: verdicts that time alone has changed are derived, and so announced."""
    outdated = EffectivePlan.objects.outdated().select_related("organization").order_by("pk")
    return sum(_derive(row) for row in outdated.iterator(chunk_size=_CHUNK)) + _end_beta()


def _end_beta() -> int:
    """Once Stripe is connected, nobody need look for a plan to have its limits."""
    in_beta = EffectivePlan.objects.filter(is_beta=True).select_related("organization")
    if beta.is_on() or not in_beta.exists():
        return 0
    return sum(_derive(row) for row in in_beta.order_by("pk").iterator(chunk_size=_CHUNK))


def remind() -> None:
    """Every minute: a day before the end of grace, and the catalogue's days before a trial's."""
    coming = EffectivePlan.objects.with_a_deadline(within=_longest_notice())
    for row in coming.select_related("organization", "plan").order_by("pk").iterator(_CHUNK):
        now = clock.now_for(row.organization)
        if row.grace_ends_at is not None and _is_last_call(row, now):
            _about_invoice(row.organization, "grace_ending", row.owed_invoice)
        elif (ends_at := row.trial_ends_at) is not None:
            _remind_of_trial(row, ends_at, now)


def _derive(row: EffectivePlan) -> int:
    """One organization that cannot be derived must not keep the others waiting."""
    try:
        store.rederive(row.organization, cause="time")
    except Exception:
        logger.exception("alert.rederive_failed", organization=str(row.pk))
        return 0
    return 1


def _longest_notice() -> timedelta:
    plans = catalog.current().plans.values()
    days = [day for plan in plans if plan.trial for day in plan.trial.reminder_days]
    return max(timedelta(days=max(days, default=0)), _LAST_CALL)


# --- Access -----------------------------------------------------------------------------------


def _tell_of_access(organization: Organization, before: Verdict, after: EffectivePlan) -> None:
    was_locked, is_locked = (v.access == Access.READ_ONLY for v in (before, after))
    cause_before, cause = causes.of_lock(before), causes.of_lock(after)
    if is_locked and cause:
        announce_lock(after)
    elif was_locked and not is_locked and _was_told(f"mail.locked:{cause_before}"):
        _about_invoice(organization, "unlocked", cause_before)


def announce_lock(effective: EffectivePlan) -> None:
    cause = causes.of_lock(effective)
    disputed = cause != effective.owed_invoice
    _about_invoice(effective.organization, "locked", cause, disputed=disputed)


def _was_told(key: str) -> bool:
    """Nobody hears of an end whose beginning they never heard of."""
    return OutboxMessage.objects.filter(once_per=key).exists()


def _about_invoice(
    organization: Organization, kind: str, invoice: str, *, disputed: bool = False
) -> None:
    payload = {"invoice": invoice} | ({"disputed": True} if disputed else {})
    mails.announce(organization, kind, once_per=invoice, payload=payload)


def _is_last_call(row: EffectivePlan, now: datetime) -> bool:
    """A day before the end, or in the second half of a grace that is shorter than two days."""
    ends_at = row.grace_ends_at
    grace = timedelta(days=catalog.current().dunning.grace_days)
    return ends_at is not None and ends_at - min(_LAST_CALL, grace / 2) <= now < ends_at


# --- Plans ------------------------------------------------------------------------------------


def _tell_of_plan(organization: Organization, before: Verdict, after: EffectivePlan) -> None:
    if after.source == Source.STRIPE and after.access == Access.FULL:
        mails.announce(organization, "welcome", once_per=str(organization.pk))
    if before.plan.key == after.plan.key:
        return
    cause = _cause_of_downgrade(organization, before, after)
    if cause:
        payload = {"plan": after.plan.key, "before": before.plan.key}
        mails.announce(organization, "downgraded", once_per=cause, payload=payload)


def _cause_of_downgrade(organization: Organization, before: Verdict, after: EffectivePlan) -> str:
    """What it hangs on: the plan that was lost, or the subscription that changed to a lower one."""
    if after.source == Source.DEFAULT:
        lost = before.source in {Source.STRIPE, Source.TRIAL}
        return causes.of_the_loss(organization) if lost else ""
    if before.subscription_id == after.subscription_id and _is_lower(before.plan.key, after):
        start = after.period_start.isoformat() if after.period_start else ""
        return f"{after.subscription_id}:{after.plan.key}:{start}"
    return ""


def _is_lower(before: str, after: EffectivePlan) -> bool:
    sold = catalog.current()
    stripes = after.source == Source.STRIPE
    return (
        stripes and before in sold.plans and sold.position(after.plan.key) < sold.position(before)
    )


def _remind_of_trial(row: EffectivePlan, ends_at: datetime, now: datetime) -> None:
    """The nearest reminder alone: whoever comes late to one has no use for the earlier."""
    entry = catalog.current().plans.get(row.plan.key)
    trial: Trial | None = entry.trial if entry else None
    due = [days for days in (trial.reminder_days if trial else ()) if _is_due(ends_at, days, now)]
    if due:
        mails.announce(
            row.organization,
            "trial_ending",
            once_per=f"{_trial_behind(row)}:{min(due)}",
            payload={"plan": row.plan.key, "charges": _charges(row)},
        )


def _trial_behind(row: EffectivePlan) -> str:
    """Ours by its grant, Stripe's by its subscription."""
    ours = row.source == Source.TRIAL
    return causes.of_trial(row.organization) if ours else row.subscription_id


def _charges(row: EffectivePlan) -> bool:
    """Whether a payment follows by itself: Stripe's trial with a card on file."""
    return row.source == Source.STRIPE and row.organization.payment_methods.exists()


def _is_due(ends_at: datetime, days: int, now: datetime) -> bool:
    return ends_at - timedelta(days=days) <= now < ends_at
