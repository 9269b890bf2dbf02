"""Subscriptions that must not live on: duplicates, and those of closed organizations (B3, B9)."""

import structlog

from billing.entitlement import store
from billing.gateway import stripe_api
from billing.gateway.stripe_api import Missing
from billing.gateway.webhooks import processing
from billing.messages import outbox
from billing.models import BillingAccount, Subscription
from orgs import audit
from orgs.models import Organization

logger = structlog.get_logger(__name__)


def end_duplicates(organization: Organization) -> int:
    """Keeps the subscription that grants the plan, else the oldest, and cancels the others.

    The verdict picks the oldest that is paid, so that an open bank debit outlives no card payment.
    """
    granting = store.current(organization).subscription_id
    standing = organization.subscriptions.standing().order_by("created_at", "stripe_id")
    ranked = sorted(standing, key=lambda found: found.stripe_id != granting)
    return _end(organization, ranked[1:], why="duplicate")


def end_all(organization: Organization) -> int:
    """A closed organization pays for nothing."""
    return _end(organization, list(organization.subscriptions.live()), why="organization_closed")


def end_unpaid(organization: Organization) -> int:
    """Document 003: when grace is over the plan is lost at Stripe too; the invoice stays owed."""
    unpaid = list(organization.subscriptions.standing())
    for subscription in unpaid:
        _cancel(subscription, "unpaid")
        audit.record(
            "billing.subscription_ended",
            organization=organization,
            target=subscription.stripe_id,
            after={"why": "unpaid"},
        )
    if unpaid:
        processing.resync(BillingAccount.objects.get(organization=organization), cause="unpaid")
    return len(unpaid)


def _end(organization: Organization, ended: list[Subscription], *, why: str) -> int:
    for subscription in ended:
        _cancel(subscription, why)
        outbox.put(
            organization,
            f"mail.subscription_ended_{why}",
            once_per=subscription.stripe_id,
            payload={"subscription": subscription.stripe_id},
        )
        audit.record(
            "billing.subscription_ended",
            organization=organization,
            target=subscription.stripe_id,
            after={"why": why},
        )
        logger.error("alert.subscription_ended", why=why, subscription=subscription.stripe_id)
    if ended:
        processing.resync(BillingAccount.objects.get(organization=organization), cause=why)
    return len(ended)


def _cancel(subscription: Subscription, why: str) -> None:
    try:
        stripe_api.cancel_subscription(
            subscription.stripe_id, key=f"end:{why}:{subscription.stripe_id}"
        )
    except Missing:
        logger.info("stripe.subscription_ended_already", subscription=subscription.stripe_id)
