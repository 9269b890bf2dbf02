"""Whether what a mail says still holds when it leaves; what is no longer true is not sent.

Before people hear that they lost something, Stripe itself is asked: the word that they have paid
may be on its way or lost, and of two unpaid invoices we may have heard of the younger one first.
"""

from collections.abc import Callable
from typing import Final

from billing.entitlement import clock, store
from billing.exceptions import BillingError, StripeUnavailable
from billing.gateway import stripe_api
from billing.gateway.webhooks import processing
from billing.messages import causes, mails, outbox, transitions
from billing.models import Access, BillingAccount, EffectivePlan, Invoice, OutboxMessage

# Then it leaves by what we know: while Stripe is away nobody could have paid.
_TIMES_ASKED: Final = 3


def holds(message: OutboxMessage) -> bool:
    """Receipts, welcomes and the like are about the past and stay true."""
    check = _CHECKS.get(message.kind.removeprefix("mail."))
    if check is None or message.organization is None:
        return True
    return check(message, store.current(message.organization))


@outbox.preparation("mail.locked")
@outbox.preparation("mail.unlocked")
@outbox.preparation("mail.downgraded")
@outbox.preparation("mail.grace_ending")
def ask_stripe(message: OutboxMessage) -> None:
    """Raises while another worker has the customer, and while Stripe does not answer."""
    account = BillingAccount.objects.filter(organization=message.organization).first()
    if account is None or not stripe_api.is_configured():
        return
    try:
        free = processing.resync(account, cause=message.kind)
    except BillingError:
        if message.attempts < _TIMES_ASKED:
            raise
        return
    if not free:
        raise StripeUnavailable("another worker has the customer")


def _is_locked(message: OutboxMessage, effective: EffectivePlan) -> bool:
    """By the very invoice that it names; else the right one is named now."""
    if effective.access != Access.READ_ONLY:
        return False
    if message.payload.get("invoice") != causes.of_lock(effective):
        transitions.announce_lock(effective)
        return False
    return True


def _is_unlocked(message: OutboxMessage, effective: EffectivePlan) -> bool:
    return effective.access != Access.READ_ONLY


def _is_owed(message: OutboxMessage, effective: EffectivePlan) -> bool:
    owed = Invoice.objects.filter(stripe_id=message.payload.get("invoice"))
    return owed.filter(status__in=["open", "uncollectible"], amount_remaining__gt=0).exists()


def _is_in_grace(message: OutboxMessage, effective: EffectivePlan) -> bool:
    ends_at = effective.grace_ends_at
    in_time = ends_at is not None and clock.now_for(effective.organization) < ends_at
    return in_time and message.payload.get("invoice") == effective.owed_invoice


def _is_on_that_plan(message: OutboxMessage, effective: EffectivePlan) -> bool:
    """And for the cause of its key; else it is said under the right one."""
    if effective.plan.key != message.payload.get("plan"):
        return False
    cause = message.once_per.removeprefix(f"{message.kind}:")
    if not cause.endswith(causes.ENDED):
        return True
    organization, right = effective.organization, causes.of_the_loss(effective.organization)
    if cause != right:
        mails.announce(organization, "downgraded", once_per=right, payload=message.payload)
    return cause == right


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
