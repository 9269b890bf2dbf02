"""Whether what a mail says still holds when it leaves; what is no longer true is not sent."""

from collections.abc import Callable
from typing import Final

from billing.entitlement import clock, store
from billing.models import Access, EffectivePlan, Invoice, OutboxMessage


def holds(message: OutboxMessage) -> bool:
    """Receipts, welcomes and the like are about the past and stay true."""
    check = _CHECKS.get(message.kind.removeprefix("mail."))
    if check is None or message.organization is None:
        return True
    return check(message, store.current(message.organization))


def _is_locked(message: OutboxMessage, effective: EffectivePlan) -> bool:
    return effective.access == Access.READ_ONLY


def _is_unlocked(message: OutboxMessage, effective: EffectivePlan) -> bool:
    return effective.access != Access.READ_ONLY


def _is_owed(message: OutboxMessage, effective: EffectivePlan) -> bool:
    owed = Invoice.objects.filter(stripe_id=message.payload.get("invoice"))
    return owed.filter(status__in=["open", "uncollectible"], amount_remaining__gt=0).exists()


def _is_in_grace(message: OutboxMessage, effective: EffectivePlan) -> bool:
    ends_at = effective.grace_ends_at
    in_time = ends_at is not None and clock.now_for(effective.organization) < ends_at
    return in_time and _is_owed(message, effective)


def _is_on_that_plan(message: OutboxMessage, effective: EffectivePlan) -> bool:
    return bool(effective.plan.key == message.payload.get("plan"))


def _is_on_trial(message: OutboxMessage, effective: EffectivePlan) -> bool:
    return effective.trial_ends_at is not None


def _is_given(message: OutboxMessage, effective: EffectivePlan) -> bool:
    """By the very grant that ends: a renewed contract needs no reminder of the former."""
    grant = effective.organization.grants.filter(pk=message.payload.get("grant"), revoked_at=None)
    same = grant.filter(source=effective.source, ends_at=effective.ends_at)
    return bool(effective.ends_at is not None and same.exists())


_CHECKS: Final[dict[str, Callable[[OutboxMessage, EffectivePlan], bool]]] = {
    "payment_failed": _is_owed,
    "grace_ending": _is_in_grace,
    "locked": _is_locked,
    "unlocked": _is_unlocked,
    "downgraded": _is_on_that_plan,
    "trial_ending": _is_on_trial,
    "grant_ending": _is_given,
}
