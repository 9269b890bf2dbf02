"""Celery's door: thin, short, safe to repeat. Periods are in `config/schedule.py`."""

import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import structlog
from celery import shared_task
from django.db import transaction
from django.db.models import F, Min
from django.dispatch import receiver
from django.utils import timezone

from billing import catalog
from billing.entitlement import store
from billing.entitlement.clock import database_now
from billing.exceptions import BillingError, StripeUnavailable
from billing.gateway import reconcile, stripe_api
from billing.gateway.webhooks import processing
from billing.insight import pulse
from billing.licence import standing, watch
from billing.messages import expiries, outbox, transitions
from billing.models import (
    BillingAccount,
    CheckoutIntent,
    CustomerTransfer,
    EffectivePlan,
    InboxEvent,
)
from billing.signals import (
    catalog_applied,
    customer_transferred,
    duplicates_found,
    events_arrived,
    refund_due,
    subscription_orphaned,
    trial_repeated,
)
from billing.subscription import (
    checkout,
    credit_packs,
    customers,
    details,
    endings,
    farewell,
    transfer,
)
from orgs import deletions, retention
from orgs.models import DataExport, Organization
from orgs.owned_data import exports
from orgs.signals import export_asked, organization_created, organization_renamed, role_changed

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
    due = InboxEvent.objects.due(timezone.now()).values_list("customer_id")
    oldest_first = due.annotate(since=Min("next_attempt_at")).order_by("since")
    for customer_id, _since in oldest_first[:500]:
        process_customer.delay(customer_id)


@shared_task
def create_customer(organization_id: str) -> None:
    """In the background after sign-up; the sweeper repeats it until Stripe has answered."""
    organization = Organization.objects.open().filter(pk=UUID(organization_id)).first()
    if organization is not None:
        customers.ensure(organization)


@shared_task(
    autoretry_for=(StripeUnavailable,), retry_backoff=5, retry_backoff_max=300, max_retries=5
)
def tell_details(organization_id: str) -> None:
    """Name, billing address and language, after somebody changed them here."""
    organization = Organization.objects.open().filter(pk=UUID(organization_id)).first()
    if organization is not None:
        details.tell(organization)


@shared_task
def settle_packs() -> None:
    """Every 5 minutes: packs that were paid, or left, without a word from Stripe."""
    credit_packs.settle_waiting()


@shared_task
def sweep_customers() -> None:
    """Every minute: customers not made, or not told whose they are, while Stripe was away."""
    waiting = BillingAccount.objects.without_customer()
    # The least recently tried first: a hundred that Stripe refuses must not hold up the next one.
    turn = waiting.order_by(F("swept_at").asc(nulls_first=True), "created_at")
    chosen = list(turn.values_list("organization_id", flat=True)[:100])
    BillingAccount.objects.filter(pk__in=chosen).update(swept_at=timezone.now())
    for organization_id in chosen:
        create_customer.delay(str(organization_id))
    untold = CustomerTransfer.objects.untold().order_by("pk")
    for transfer_id in untold.values_list("pk", flat=True)[:100]:
        tell_of_transfer.delay(transfer_id)


@shared_task
def tell_of_transfer(transfer_id: int) -> None:
    """Stripe's side of a customer that changed hands; the sweeper repeats it until told."""
    found = CustomerTransfer.objects.untold().filter(pk=transfer_id).first()
    if found is not None and stripe_api.is_configured():
        transfer.tell_stripe(found)


@shared_task
def deliver_outbox() -> None:
    outbox.deliver_due()


@shared_task
def settle_expired_checkouts() -> None:
    """Every 10 minutes: sessions whose end no webhook told us (B6)."""
    overdue = CheckoutIntent.objects.overdue(timezone.now()).select_related("organization")
    for intent in overdue.order_by("pk").iterator(chunk_size=100):
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


@shared_task(
    autoretry_for=(StripeUnavailable,), retry_backoff=5, retry_backoff_max=300, max_retries=20
)
def end_repeated_trial(organization_id: str) -> None:
    endings.end_repeated_trial(Organization.objects.get(pk=UUID(organization_id)))


@shared_task(
    autoretry_for=(StripeUnavailable,), retry_backoff=5, retry_backoff_max=300, max_retries=20
)
def return_money(organization_id: str) -> None:
    """What was paid in vain goes back, and what was paid back ends. Repeated hourly."""
    organization = Organization.objects.get(pk=UUID(organization_id))
    endings.return_money(organization)
    endings.end_refunded(organization)


@shared_task
def announce_transitions() -> None:
    """Every minute. Plan and access are derived from the clock already; this only tells people."""
    transitions.make_due_changes_visible()
    transitions.remind()
    expiries.remind()


@shared_task
def end_unpaid_subscriptions() -> None:
    """Every 10 minutes, where the catalogue says that grace ends with the subscription."""
    if not catalog.current().dunning.cancel_at_stripe:
        return
    lost = EffectivePlan.objects.downgraded_for_debt().still_subscribed()
    for row in lost.select_related("organization").order_by("pk").iterator(chunk_size=500):
        _each("end_unpaid", row.organization, endings.end_unpaid)


@shared_task(soft_time_limit=540, time_limit=570)
def carry_out_deletions() -> None:
    """Every 5 minutes: organizations whose days to think it over have passed, step by step."""
    deletions.carry_out_due()


@shared_task(soft_time_limit=3000, time_limit=3300)
def build_export(export_id: str) -> None:
    """As soon as it is asked for; a large ledger takes minutes."""
    exports.build(UUID(export_id))


@shared_task
def sweep_exports() -> None:
    """Every minute: archives whose worker died, or that nobody heard of."""
    for export_id in exports.due():
        build_export.delay(str(export_id))


@shared_task(soft_time_limit=540, time_limit=570)
def enforce_retention() -> None:
    """Every hour: what has been kept long enough goes, on every floor."""
    retention.enforce()


@shared_task
def delete_closed_customers() -> None:
    """Every 10 minutes, where the catalogue says that closing deletes the customer at Stripe."""
    farewell.delete_customers()


@shared_task(soft_time_limit=3000, time_limit=3300)
def reconcile_hourly() -> None:
    """Undelivered events of 30 days, live customers, refunds and details that got lost (A6)."""
    reconcile.run()
    for organization in endings.organizations_owed().order_by("pk").iterator(chunk_size=500):
        _each("return_money", organization, endings.return_money)
    for organization in details.untold().iterator(chunk_size=500):
        _each("tell_details", organization, details.tell)


@shared_task(soft_time_limit=3000, time_limit=3300)
def refresh_entitlements() -> None:
    """After `catalog apply`: new versions of the default plan, changed limits and features."""
    rows = EffectivePlan.objects.select_related("organization").order_by("pk")
    for row in rows.iterator(chunk_size=500):
        store.refresh(row.organization, cause="catalogue applied")


@shared_task
def check_licence() -> None:
    """Every hour and when a process starts; every verdict is derived anew when it has changed."""
    if watch.check(database_now()):
        refresh_entitlements.delay()


def check_licence_at_start() -> None:
    """Never in the way of a start: what cannot be checked now is checked with every verdict."""
    if not standing.is_required():
        return
    try:
        check_licence()
    except Exception:
        logger.exception("alert.licence_check_failed")


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


@receiver(customer_transferred)
def _on_customer_transferred(sender: object, moved: CustomerTransfer, **kwargs: Any) -> None:
    _after_commit(tell_of_transfer, moved.pk)


@receiver(catalog_applied)
def _on_catalog_applied(sender: object, **kwargs: Any) -> None:
    _after_commit(refresh_entitlements)


@receiver(duplicates_found)
def _on_duplicates(sender: object, organization: Organization, **kwargs: Any) -> None:
    _after_commit(end_duplicate_subscriptions, str(organization.pk))


@receiver(trial_repeated)
def _on_trial_repeated(sender: object, organization: Organization, **kwargs: Any) -> None:
    _after_commit(end_repeated_trial, str(organization.pk))


@receiver(refund_due)
def _on_refund_due(sender: object, organization: Organization, **kwargs: Any) -> None:
    _after_commit(return_money, str(organization.pk))


@receiver([organization_renamed, role_changed])
def _on_details_changed(sender: object, organization: Organization, **kwargs: Any) -> None:
    """Another owner is another address, where the organization names none of its own."""
    if details.note_change(organization):
        _after_commit(tell_details, str(organization.pk))


@receiver(export_asked)
def _on_export_asked(sender: object, export: DataExport, **kwargs: Any) -> None:
    _after_commit(build_export, str(export.pk))


@receiver(subscription_orphaned)
def _on_orphan(sender: object, organization: Organization, **kwargs: Any) -> None:
    _after_commit(end_orphaned_subscriptions, str(organization.pk))


def _each(what: str, organization: Organization, act: Callable[[Organization], object]) -> None:
    """One organization's trouble at Stripe must not hold up the others; the next sweep returns."""
    try:
        act(organization)
    except BillingError as error:
        logger.warning(
            "billing.sweep_failed", what=what, organization=str(organization.pk), code=error.code
        )


def _after_commit(task: Any, *args: str | int) -> None:
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
