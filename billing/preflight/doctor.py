"""Billing's part of the doctor; the floors above add theirs."""

from datetime import timedelta
from typing import Final

from django.utils import timezone

from billing import catalog
from billing.entitlement import clock
from billing.findings import Check, Finding, failed, ok, warning
from billing.gateway import preflight
from billing.insight import pulse
from billing.models import InboxEvent, OutboxMessage, SubscriptionPlan

_BEAT: Final = timedelta(minutes=3)
_WAITING: Final = timedelta(minutes=5)
_SKEW: Final = 5  # seconds


def catalogue() -> Finding:
    name, current = "catalogue", catalog.current()
    on_sale = SubscriptionPlan.objects.of_catalog(current.key).on_sale().count()
    if not on_sale:
        return failed(name, f"Catalogue {current.key} was never applied.", "Run `catalog apply`.")
    return ok(name, f"Catalogue {current.key} is valid and has {on_sale} plans on sale.")


def database_clock() -> Finding:
    """Grace, trials and periods follow PostgreSQL's clock, signatures this machine's."""
    name = "database-clock"
    skew = abs((clock.database_now() - timezone.now()).total_seconds())
    if skew > _SKEW:
        return failed(name, f"PostgreSQL's clock is {skew:.0f} s away from this machine's.")
    return ok(name, "PostgreSQL's clock and this machine's agree.")


def beat() -> Finding:
    name, last = "beat", pulse.last_beat()
    if last is None:
        return failed(name, "Beat has never run.", "Start it beside the workers.")
    if timezone.now() - last > _BEAT:
        return failed(name, f"Beat, or every worker, is silent since {last:%Y-%m-%d %H:%M} UTC.")
    return ok(name, "Beat and workers are alive.")


def inbox() -> Finding:
    name, oldest = "inbox", pulse.oldest_unprocessed_event()
    if oldest is not None and timezone.now() - oldest > _WAITING:
        return failed(name, f"An event waits since {oldest:%Y-%m-%d %H:%M} UTC.")
    if dead := InboxEvent.objects.dead().count():
        return warning(name, f"{dead} events are dead letters.", "Replay them in the admin.")
    return ok(name, "No event waits, and none is a dead letter.")


def outbox() -> Finding:
    name = "outbox"
    if dead := OutboxMessage.objects.filter(state=OutboxMessage.State.DEAD).count():
        return warning(name, f"{dead} messages could not be sent.", "Send them in the admin.")
    late = OutboxMessage.objects.due(timezone.now() - _WAITING).count()
    if late:
        return failed(name, f"{late} messages are overdue.")
    return ok(name, "No message is overdue.")


CHECKS: Final[tuple[Check, ...]] = (
    *preflight.CHECKS,
    catalogue,
    database_clock,
    beat,
    inbox,
    outbox,
)
