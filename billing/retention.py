"""How long billing keeps what Stripe told us, what was mailed, and what was looked at."""

from datetime import datetime

from django.db.models import Q

from billing.gateway import mirror
from billing.models import CheckoutIntent, InboxEvent, OutboxMessage, PlansVisit, ReconcileRun
from orgs import retention
from orgs.retention import Rule

_ENDED = (InboxEvent.State.DONE, InboxEvent.State.IGNORED)


def _payloads(before: datetime, most: int) -> int:
    """The row stays, so that Stripe may send the event again in vain. What belongs to no customer
    (prices, products) names nobody, and a replay needs it."""
    old = (
        InboxEvent.objects.filter(state__in=_ENDED, received_at__lt=before)
        .exclude(payload={})
        .exclude(customer_id="")
    )
    chosen = list(old.values_list("pk", flat=True)[:most])
    return int(InboxEvent.objects.filter(pk__in=chosen).update(payload={}, headers={}))


def _events(before: datetime, most: int) -> int:
    ended = InboxEvent.objects.exclude(state=InboxEvent.State.WAITING)
    return retention.delete(ended.filter(received_at__lt=before), most)


def _contents(before: datetime, most: int) -> int:
    """The row stays: its key is what keeps a mail from being sent twice."""
    ended = OutboxMessage.objects.exclude(state=OutboxMessage.State.WAITING)
    full = ended.filter(created_at__lt=before).exclude(payload={}, last_error="")
    chosen = list(full.values_list("pk", flat=True)[:most])
    return int(OutboxMessage.objects.filter(pk__in=chosen).update(payload={}, last_error=""))


def _messages(before: datetime, most: int) -> int:
    ended = OutboxMessage.objects.exclude(state=OutboxMessage.State.WAITING)
    return retention.delete(ended.filter(created_at__lt=before), most)


def _checkout_links(before: datetime, most: int) -> int:
    """Stripe's page of an ended session shows who bought."""
    ended = CheckoutIntent.objects.exclude(state=CheckoutIntent.State.OPEN).exclude(url="")
    over = ended.filter(Q(completed_at__lt=before) | Q(completed_at=None, expires_at__lt=before))
    chosen = list(over.values_list("pk", flat=True)[:most])
    return int(CheckoutIntent.objects.filter(pk__in=chosen).update(url=""))


def register() -> None:
    retention.register(
        Rule(
            name="webhook contents",
            what="what Stripe's events said, once they are applied",
            forget=_payloads,
            days="inbox_payloads",
        ),
        Rule(
            name="webhook events",
            what="that an event came, and what became of it",
            forget=_events,
            days="inbox_events",
        ),
        Rule(
            name="mirrored events",
            what="dj-stripe's own copies of events",
            forget=mirror.forget_events,
            days="mirrored_events",
        ),
        Rule(
            name="mail contents",
            what="what a mail or message to Stripe was made from, once it has left",
            forget=_contents,
            days="message_contents",
        ),
        Rule(
            name="mails",
            what="that a mail was sent",
            forget=_messages,
            days="messages",
        ),
        Rule(
            name="checkout links",
            what="links to Checkout pages that have ended",
            forget=_checkout_links,
            days="checkout_links",
        ),
        Rule(
            name="visits",
            what="days on which an organization looked at the plans",
            forget=retention.older(PlansVisit, "day"),
            days="statistics",
        ),
        Rule(
            name="reconciles",
            what="runs of the hourly comparison with Stripe",
            forget=retention.older(ReconcileRun, "started_at"),
            days="runs",
        ),
    )
