"""Celery's door: thin, short, safe to repeat. Periods are in `config/schedule.py`."""

import time
from typing import Any, Final
from uuid import UUID

import structlog
from celery import shared_task
from django.db import transaction
from django.dispatch import receiver
from django.utils import timezone

from billing import catalog
from billing.entitlement import store
from billing.exceptions import StripeUnavailable
from billing.gateway import reconcile
from billing.gateway.webhooks import processing
from billing.insight import pulse
from billing.messages import outbox, transitions
from billing.models import BillingAccount, CheckoutIntent, EffectivePlan, InboxEvent
from billing.signals import (
    catalog_applied,
    duplicates_found,
    events_arrived,
    subscription_orphaned,
)
from billing.subscription import checkout, customers, endings
from orgs.models import Organization
from orgs.signals import organization_created

logger = structlog.get_logger(__name__)

_BUSY_AGAIN_SECONDS: Final = 0.3
# After a failed publish the broker is left alone for a while: an acknowledgement must stay quick.
_BROKER_REST_SECONDS: Final = 10.0


class _Broker:
    rests_until = 0.0


@shared_task
def process_customer(customer_id: str) -> None:
    """Drain one customer's inbox; a busy customer is tried again in a moment."""
    drained = processing.drain(customer_id)
    while drained.more and drained.done:
        drained = processing.drain(customer_id)
    if drained.busy:
        process_customer.apply_async((customer_id,), countdown=_BUSY_AGAIN_SECONDS)


@shared_task
def sweep_inbox() -> None:
    """Every 20 s: rows whose task was lost, whose worker died or whose retry is due (A29, A32)."""
    due = InboxEvent.objects.due(timezone.now()).values_list("customer_id", flat=True)
    for customer_id in due.distinct().order_by()[:500]:
        process_customer.delay(customer_id)


@shared_task
def create_customer(organization_id: str) -> None:
    """In the background after sign-up; the sweeper repeats it until Stripe has answered."""
    organization = Organization.objects.open().filter(pk=UUID(organization_id)).first()
    if organization is not None:
        customers.ensure(organization)


@shared_task
def sweep_customers() -> None:
    """Every minute: organizations whose customer was not made, because Stripe or Redis was away."""
    waiting = BillingAccount.objects.without_customer().order_by("created_at")
    for organization_id in waiting.values_list("organization_id", flat=True)[:100]:
        create_customer.delay(str(organization_id))


@shared_task
def deliver_outbox() -> None:
    outbox.deliver_due()


@shared_task
def settle_expired_checkouts() -> None:
    """Every 10 minutes: sessions whose end no webhook told us (B6)."""
    for intent in CheckoutIntent.objects.overdue(timezone.now())[:100]:
        checkout.close_overdue(intent)


@shared_task(
    autoretry_for=(StripeUnavailable,), retry_backoff=5, retry_backoff_max=300, max_retries=20
)
def end_duplicate_subscriptions(organization_id: str) -> None:
    """No sweeper repeats it soon, so it repeats itself while Stripe fails."""
    endings.end_duplicates(Organization.objects.get(pk=UUID(organization_id)))


@shared_task(
    autoretry_for=(StripeUnavailable,), retry_backoff=5, retry_backoff_max=300, max_retries=20
)
def end_orphaned_subscriptions(organization_id: str) -> None:
    endings.end_all(Organization.objects.get(pk=UUID(organization_id)))


@shared_task
def announce_transitions() -> None:
    """Every minute. Plan and access are derived from the clock already; this only tells people."""
    transitions.make_due_changes_visible()
    transitions.remind()


@shared_task
def end_unpaid_subscriptions() -> None:
    """Every 10 minutes, where the catalogue says that grace ends with the subscription."""
    if not catalog.current().dunning.cancel_at_stripe:
        return
    lost = EffectivePlan.objects.downgraded_for_debt().select_related("organization")
    for row in lost.order_by("pk")[:500]:
        endings.end_unpaid(row.organization)


@shared_task(soft_time_limit=3000, time_limit=3300)
def reconcile_hourly() -> None:
    """Undelivered events of the last 30 days, then live customers, oldest sync first (A6)."""
    reconcile.run()


@shared_task(soft_time_limit=3000, time_limit=3300)
def refresh_entitlements() -> None:
    """After `catalog apply`: new versions of the default plan, changed limits and features."""
    rows = EffectivePlan.objects.select_related("organization").order_by("pk")
    for row in rows.iterator(chunk_size=500):
        store.refresh(row.organization, cause="catalogue applied")


@shared_task
def beat() -> None:
    """Every 30 s: the sign of life that `/readyz` looks for."""
    pulse.mark(pulse.BEAT)


# --- What happened in the process becomes work of a worker, after the commit ---------------------


@receiver(events_arrived)
def _on_events_arrived(sender: object, customer_id: str, **kwargs: Any) -> None:
    _after_commit(process_customer, customer_id)


@receiver(organization_created)
def _on_organization_created(sender: object, organization: Organization, **kwargs: Any) -> None:
    BillingAccount.objects.get_or_create(organization=organization)
    _after_commit(create_customer, str(organization.pk))


@receiver(catalog_applied)
def _on_catalog_applied(sender: object, **kwargs: Any) -> None:
    _after_commit(refresh_entitlements)


@receiver(duplicates_found)
def _on_duplicates(sender: object, organization: Organization, **kwargs: Any) -> None:
    _after_commit(end_duplicate_subscriptions, str(organization.pk))


@receiver(subscription_orphaned)
def _on_orphan(sender: object, organization: Organization, **kwargs: Any) -> None:
    _after_commit(end_orphaned_subscriptions, str(organization.pk))


def _after_commit(task: Any, *args: str) -> None:
    """The broker may be away: the rows are durable, and the sweepers repeat what was lost."""

    def publish() -> None:
        if time.monotonic() < _Broker.rests_until:
            return
        try:
            task.apply_async(args, retry=False)
        except Exception as error:  # noqa: BLE001  kombu raises the transport's own kinds
            _Broker.rests_until = time.monotonic() + _BROKER_REST_SECONDS
            logger.warning("celery.broker_unavailable", task=task.name, error=type(error).__name__)

    transaction.on_commit(publish, robust=True)
