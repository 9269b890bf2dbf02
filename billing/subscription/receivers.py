"""What follows from events that were applied: intents settle, duplicates end, people are told."""

from collections.abc import Iterable
from typing import Any

from django.dispatch import receiver

from billing import catalog
from billing.messages import mails
from billing.models import BillingAccount, CheckoutIntent, InboxEvent, Invoice
from billing.signals import (
    duplicates_found,
    events_applied,
    refund_due,
    subscription_orphaned,
    trial_repeated,
)
from billing.subscription import checkout, credit_packs, endings, transfer, trial_rules
from orgs.models import Organization, User
from orgs.signals import organization_closed, organization_created

_CHECKOUT_ENDS = {
    "checkout.session.completed": CheckoutIntent.State.COMPLETED,
    "checkout.session.async_payment_succeeded": CheckoutIntent.State.COMPLETED,
    "checkout.session.expired": CheckoutIntent.State.EXPIRED,
}


@receiver(events_applied)
def on_events_applied(
    sender: object, customer_id: str, events: list[InboxEvent], **kwargs: Any
) -> None:
    account = BillingAccount.objects.select_related("organization").get(
        stripe_customer_id=customer_id
    )
    _close_intents(account.organization, events)
    _settle_packs(account.organization, events)
    if trial_rules.note_stripe_trials(account.organization):
        trial_repeated.send(Organization, organization=account.organization)
    _announce_invoices(account.organization, events)
    _end_what_must_not_live(account.organization)


@receiver(organization_created)
def on_organization_created(
    sender: object, organization: Organization, actor: User, **kwargs: Any
) -> None:
    moves = catalog.current().organizations.founder_customer_moves
    if moves and organization.kind == Organization.Kind.TEAM:
        transfer.to_founded(organization, actor)


@receiver(organization_closed)
def on_organization_closed(sender: object, organization: Organization, **kwargs: Any) -> None:
    _end_what_must_not_live(organization)


def _close_intents(organization: Organization, events: Iterable[InboxEvent]) -> None:
    for event in events:
        state = _CHECKOUT_ENDS.get(event.type)
        intent = (
            organization.checkout_intents.filter(session_id=event.object_id).first()
            if state
            else None
        )
        if intent is not None and state is not None:
            checkout.close(intent, state)


def _settle_packs(organization: Organization, events: Iterable[InboxEvent]) -> None:
    """What Stripe says of the session decides, not what the event does."""
    for event in events:
        if event.type.startswith("checkout.session."):
            credit_packs.settle(organization, event.object_id)


def _announce_invoices(organization: Organization, events: Iterable[InboxEvent]) -> None:
    """By the invoice's present state: a late `payment_failed` after `paid` is no news."""
    ids = {event.object_id for event in events if event.type.startswith("invoice.")}
    for invoice in organization.invoices.filter(stripe_id__in=ids):
        if invoice.status == Invoice.Status.PAID and invoice.amount_paid > 0:
            mails.announce(
                organization,
                "receipt",
                once_per=invoice.stripe_id,
                payload={"invoice": invoice.stripe_id},
            )
        elif invoice.status == Invoice.Status.OPEN and _failed(invoice) and not _waits(invoice):
            mails.announce(
                organization,
                "payment_failed",
                once_per=invoice.stripe_id,
                payload={"invoice": invoice.stripe_id},
            )


def _failed(invoice: Invoice) -> bool:
    automatic = invoice.collection_method == "charge_automatically"
    started = invoice.billing_reason != "subscription_create"
    return automatic and started and invoice.attempt_count > 0 and invoice.amount_remaining > 0


def _waits(invoice: Invoice) -> bool:
    """The payment of a change that somebody is confirming: it is not owed."""
    waiting = invoice.organization.subscriptions.filter(pending_invoice_id=invoice.stripe_id)
    return bool(waiting.exists())


def _end_what_must_not_live(organization: Organization) -> None:
    if organization.closed_at is not None:
        if organization.subscriptions.live().exists():
            subscription_orphaned.send(Organization, organization=organization)
    elif organization.subscriptions.standing().count() > 1:
        duplicates_found.send(Organization, organization=organization)
    if endings.owes_money(organization) or endings.is_paid_back(organization):
        refund_due.send(Organization, organization=organization)
