"""Subscriptions that must not live on: duplicates, and those of closed organizations (B3, B9).

Of two subscriptions the one that grants the plan stays: the oldest that is paid. What the other
one charged goes back, and what it left open is void.
"""

from collections.abc import Iterator
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from billing.entitlement import store
from billing.exceptions import StripeRefused
from billing.gateway import stripe_api
from billing.gateway.stripe_api import Missing
from billing.gateway.webhooks import processing
from billing.insight import drift
from billing.messages import outbox
from billing.models import BillingAccount, Ending, Invoice, Refund, Subscription
from orgs import audit
from orgs.models import Organization

logger = structlog.get_logger(__name__)

Why = Ending.Why
_TOLD = {
    Why.DUPLICATE: drift.Kind.DUPLICATE,
    Why.CLOSED: drift.Kind.CLOSED,
}


_MAILED = frozenset({Why.DUPLICATE, Why.CLOSED, Why.TRIED_BEFORE})


def end_duplicates(organization: Organization) -> int:
    """Keeps the subscription that grants the plan, else the oldest, and cancels the others.

    The verdict picks the oldest that is paid, so that an open bank debit outlives no card payment.
    """
    granting = store.current(organization).subscription_id
    standing = organization.subscriptions.standing().order_by("created_at", "stripe_id")
    ranked = sorted(standing, key=lambda found: found.stripe_id != granting)
    for subscription in ranked[1:]:
        _end(subscription, why=Why.DUPLICATE, refunds=True)
    return _follow_up(organization, ranked[1:], cause=Why.DUPLICATE)


def end_all(organization: Organization) -> int:
    """A closed organization pays for nothing; what it bought and never used goes back."""
    live = list(organization.subscriptions.live())
    for subscription in live:
        _end(subscription, why=Why.CLOSED, refunds=not _was_used(subscription))
    return _follow_up(organization, live, cause=Why.CLOSED)


def end_unpaid(organization: Organization) -> int:
    """Document 003: when grace is over the plan is lost at Stripe too; the invoice stays owed."""
    unpaid = list(organization.subscriptions.standing())
    for subscription in unpaid:
        _end(subscription, why=Why.UNPAID, refunds=False)
    return _follow_up(organization, unpaid, cause=Why.UNPAID)


def end_repeated_trial(organization: Organization) -> int:
    """A card tries once: nothing is charged, and buying without a trial stays open."""
    trying = list(organization.subscriptions.filter(status="trialing"))
    for subscription in trying:
        _end(subscription, why=Why.TRIED_BEFORE, refunds=False)
    return _follow_up(organization, trying, cause=Why.TRIED_BEFORE)


def end_refunded(organization: Organization) -> int:
    """Where the catalogue says that a plan ends with its money, it ends at Stripe too."""
    ended = list(_paid_back(organization))
    for subscription in ended:
        _end(subscription, why=Why.REFUNDED, refunds=False)
    return _follow_up(organization, ended, cause=Why.REFUNDED)


def is_paid_back(organization: Organization) -> bool:
    return any(_paid_back(organization))


def _paid_back(organization: Organization) -> Iterator[Subscription]:
    """As the verdict saw it: its trace names every subscription and why it grants nothing."""
    standing = list(organization.subscriptions.standing())
    if not standing:  # nor is there a verdict where nothing was ever sold
        return
    trace = store.current(organization).trace
    refused = {step["subject"] for step in trace if step["outcome"] == "refunded"}
    for subscription in standing:
        if f"stripe:{subscription.stripe_id}" in refused:
            yield subscription


def return_money(organization: Organization) -> int:
    """Pays back what ended subscriptions charged, once per invoice; a late bank debit too."""
    returned = [invoice for invoice in _to_return(organization) if _return(invoice)]
    for invoice in organization.invoices.filter(
        subscription_id__in=_refunded_ids(organization), status=Invoice.Status.OPEN
    ):
        _void(invoice)
        returned.append(invoice)
    if returned:
        _resync(organization, cause="money returned")
    return len(returned)


def owes_money(organization: Organization) -> bool:
    return _to_return(organization).exists()


def organizations_owed() -> QuerySet[Organization]:
    """For the sweep: whoever has a paid invoice of a subscription that gave nothing."""
    owed = Invoice.objects.filter(
        subscription_id__in=Ending.objects.with_refund().values("subscription_id"),
        amount_paid__gt=F("amount_refunded"),
    ).exclude(stripe_id__in=Refund.objects.done().values("invoice_id"))
    return Organization.objects.filter(pk__in=owed.values("organization_id"))


def _was_used(subscription: Subscription) -> bool:
    """It gave its plan before the organization was closed."""
    organization = subscription.organization
    changes = organization.plan_changes.filter(subscription_id=subscription.stripe_id)
    return bool(changes.filter(recorded_at__lt=organization.closed_at).exists())


def _end(subscription: Subscription, *, why: Ending.Why, refunds: bool) -> None:
    organization = subscription.organization
    Ending.objects.get_or_create(
        subscription_id=subscription.stripe_id,
        defaults={"organization": organization, "why": why, "refunds": refunds},
    )
    _cancel(subscription, why)
    _tell(subscription, why=why, refunds=refunds)


def _tell(subscription: Subscription, *, why: Ending.Why, refunds: bool) -> None:
    """The trail always, the owners where they could not know, and staff where it was drift."""
    organization = subscription.organization
    audit.record(
        "billing.subscription_ended",
        organization=organization,
        target=subscription.stripe_id,
        after={"why": why, "refunds": refunds},
    )
    if why in _MAILED:
        outbox.put(
            organization,
            f"mail.subscription_ended_{why}",
            once_per=subscription.stripe_id,
            payload={"subscription": subscription.stripe_id, "refunds": refunds},
        )
    if why not in _TOLD:
        return
    logger.error("alert.subscription_ended", why=why, subscription=subscription.stripe_id)
    drift.found(
        _TOLD[why],
        subscription.stripe_id,
        organization=organization,
        cause=why,
        detail={"refunds": refunds},
    )


def _follow_up(organization: Organization, ended: list[Subscription], *, cause: str) -> int:
    if ended:
        _resync(organization, cause=cause)
        return_money(organization)
    return len(ended)


def _resync(organization: Organization, *, cause: str) -> None:
    processing.resync(BillingAccount.objects.get(organization=organization), cause=cause)


def _cancel(subscription: Subscription, why: str) -> None:
    try:
        stripe_api.cancel_subscription(
            subscription.stripe_id, key=f"end:{why}:{subscription.stripe_id}"
        )
    except Missing:
        logger.info("stripe.subscription_ended_already", subscription=subscription.stripe_id)


# --- Money that goes back -----------------------------------------------------------------------


def _refunded_ids(organization: Organization) -> QuerySet[Ending, Any]:
    return Ending.objects.with_refund().filter(organization=organization).values("subscription_id")


def _to_return(organization: Organization) -> QuerySet[Invoice]:
    """A disputed payment is the bank's already."""
    found: QuerySet[Invoice] = (
        organization.invoices.filter(
            Q(amount_paid__gt=F("amount_refunded")) | Q(total__gt=F("amount_due")),
            subscription_id__in=_refunded_ids(organization),
            status=Invoice.Status.PAID,
            disputed=False,
        )
        .exclude(stripe_id__in=Refund.objects.done().values("invoice_id"))
        .order_by("created_at", "stripe_id")
    )
    return found


def _return(invoice: Invoice) -> bool:
    """The row is written and locked before Stripe is asked; its key is the invoice's."""
    planned = Refund.of(invoice)
    with transaction.atomic():
        Refund.objects.bulk_create([planned], ignore_conflicts=True)
        row = Refund.objects.select_for_update().get(invoice_id=invoice.stripe_id)
        if row.done_at is not None:
            return False
        if row.amount and not invoice.payment_intent_id:
            _ask_a_person(invoice, why="it was not paid through Stripe")
            return False
        _pay_back(invoice, row)
        row.done_at = timezone.now()
        row.save(update_fields=["stripe_id", "done_at"])
        audit.record(
            "billing.refunded",
            organization=invoice.organization,
            target=invoice.number or invoice.stripe_id,
            after={"amount": row.amount, "credit": row.credit, "currency": row.currency},
        )
    return True


def _pay_back(invoice: Invoice, row: Refund) -> None:
    if row.amount > 0:
        row.stripe_id = stripe_api.refund(
            invoice.payment_intent_id,
            amount=row.amount,
            reason="duplicate",
            key=f"refund:{invoice.stripe_id}",
        )
    if row.credit > 0:
        stripe_api.credit_customer(
            invoice.customer_id,
            amount=row.credit,
            currency=row.currency,
            description=invoice.number,
            key=f"refund-credit:{invoice.stripe_id}",
        )


def _void(invoice: Invoice) -> None:
    """Except while a bank debit is under way: when it arrives, it goes back."""
    intent = invoice.payment_intent_id
    if intent and stripe_api.payment_status(intent) == "processing":
        return
    try:
        stripe_api.void_invoice(invoice.stripe_id, key=f"void:{invoice.stripe_id}")
    except StripeRefused as refusal:
        _ask_a_person(invoice, why=str(refusal))


def _ask_a_person(invoice: Invoice, *, why: str) -> None:
    drift.found(
        drift.Kind.REFUND,
        invoice.stripe_id,
        organization=invoice.organization,
        cause="refund",
        detail={"why": why[:300]},
        repaired=False,
    )
