"""What staff may do about the background: replay events, sync customers, send mail again."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from billing.exceptions import BillingError
from billing.gateway.webhooks import comparing
from billing.models import BillingAccount, InboxEvent, OutboxMessage
from billing.signals import events_arrived
from orgs import audit
from orgs.models import User


@dataclass(frozen=True, kw_only=True)
class Report:
    done: int
    failed: int


def replay(events: QuerySet[InboxEvent], *, actor: User | audit.Actor) -> Report:
    """Brings the events' customers up to date from Stripe and closes the rows (A31, H7).

    `Event.process` skips events that it knows, so the customer is synced instead; rows without a
    customer go back to waiting.
    """
    rows = list(events)
    customers = {row.customer_id for row in rows if row.customer_id}
    accounts = BillingAccount.objects.filter(stripe_customer_id__in=customers)
    synced = {
        account.stripe_customer_id
        for account in accounts.select_related("organization")
        if _sync(account, cause="replay")
    }
    done = [row.pk for row in rows if row.customer_id in synced]
    InboxEvent.objects.filter(pk__in=done).update(
        state=InboxEvent.State.DONE, finished_at=timezone.now(), note="replayed"
    )
    _wait_again([row for row in rows if not row.customer_id])
    _audit("billing.events_replayed", actor, [row.event_id for row in rows])
    return Report(done=len(done), failed=len(rows) - len(done))


def sync(accounts: Iterable[BillingAccount], *, actor: User | audit.Actor) -> Report:
    """Fetches each customer from Stripe now."""
    found = list(accounts)
    done = sum(_sync(account, cause="sync") for account in found)
    _audit("billing.synced", actor, [str(account.pk) for account in found])
    return Report(done=done, failed=len(found) - done)


def revive(found: QuerySet[OutboxMessage], *, actor: User | audit.Actor) -> None:
    """Dead messages get another round of tries; what was sent stays sent."""
    dead = found.filter(state=OutboxMessage.State.DEAD)
    _audit("billing.messages_revived", actor, [message.once_per for message in dead])
    dead.update(state=OutboxMessage.State.WAITING, attempts=0, next_attempt_at=timezone.now())


def _wait_again(rows: list[InboxEvent]) -> None:
    if not rows:
        return
    InboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=InboxEvent.State.WAITING, attempts=0, next_attempt_at=timezone.now()
    )
    events_arrived.send_robust(InboxEvent, customer_id="")


def _sync(account: BillingAccount, *, cause: str) -> bool:
    try:
        return comparing.resync(account, cause=cause) is not None
    except BillingError:
        return False


def _audit(action: str, actor: User | audit.Actor, targets: list[str]) -> None:
    audit.record(
        action, organization=None, actor=actor, after={"count": len(targets), "of": targets[:50]}
    )
