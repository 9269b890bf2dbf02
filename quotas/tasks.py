"""Celery's door: thin, short, safe to repeat. Periods are in `quotas/schedule.py`."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.dispatch import receiver

from orgs.models import Organization
from quotas import enforcement_modes
from quotas.engine import holds, limits, partitions
from quotas.notices import changes, delivery
from quotas.reaction import alerts, leads, overage, overage_delivery
from quotas.reading import rollups
from quotas.signals import notices_put, renewal_drafted

logger = structlog.get_logger(__name__)

# Charts promise to be a minute old (C45); five times that is somebody's business.
_STALE_SECONDS = 300.0
# After a failed publish the broker is left alone for a while; the sweeper repeats what was lost.
_BROKER_REST_SECONDS = 10.0


class _Broker:
    rests_until = 0.0


@shared_task(soft_time_limit=540, time_limit=570)
def roll_up_usage() -> None:
    """Every 20 s: sums up what the ledger got since, then looks whose limits came near."""
    stale = rollups.staleness_seconds()
    moved = rollups.catch_up()
    logger.info("usage.rolled_up", organizations=len(moved), usage_staleness_seconds=stale)
    if stale > _STALE_SECONDS:
        logger.error("alert.usage_stale", usage_staleness_seconds=stale)
    alerts.look(moved)
    changes.look_at_all(moved)


@shared_task(soft_time_limit=540, time_limit=570)
def settle_enforcement() -> None:
    """After a switch, and every minute for what was interrupted."""
    done = enforcement_modes.settle()
    if done:
        logger.info("enforcement.settled", organizations=done)


def settle_soon() -> None:
    """The beat does it where the broker is away."""
    if not enforcement_modes.unsettled().exists():
        return
    try:
        settle_enforcement.apply_async(retry=False)
    except Exception as error:  # noqa: BLE001  kombu raises the transport's own kinds
        logger.warning("celery.broker_unavailable", error=type(error).__name__)


@shared_task(soft_time_limit=540, time_limit=570)
def tell_leads() -> None:
    """Every hour; what is new since yesterday leaves once a day."""
    fresh = leads.tell()
    if fresh:
        logger.info("usage.leads", fresh=fresh)


@shared_task(soft_time_limit=50)
def expire_holds() -> None:
    """Every minute: frees holds that nobody asks about any more (C10)."""
    freed = holds.expire_overdue()
    if freed:
        logger.info("usage.holds_expired", organizations=freed)


@shared_task(soft_time_limit=3000, time_limit=3300)
def keep_partitions() -> None:
    """Every hour: the ledger's next months are ready, and what is past its retention is gone."""
    made = partitions.prepare()
    gone = partitions.drop_older_than(settings.USAGE_RETENTION_MONTHS)
    partitions.astray()
    if made or gone:
        logger.info("usage.partitions", made=made, gone=gone)


@shared_task(soft_time_limit=540, time_limit=570)
def report_overage() -> None:
    """Every 30 s: units that are billed and not written down yet, then what waits for Stripe."""
    made = overage.take_stock_of_all()
    sent = overage_delivery.deliver_due()
    if made or sent:
        logger.info("usage.overage", written_down=made, reported=sent)


@shared_task(soft_time_limit=110)
def report_overage_of(organization_id: str) -> None:
    """A renewal's invoice is a draft for an hour: the last units of its period go first."""
    overage_delivery.settle(Organization.objects.get(pk=UUID(organization_id)))


@shared_task
def deliver_notices(endpoint_id: int) -> None:
    """One endpoint's notices, one after the other; who comes second finds it leased and leaves."""
    delivery.deliver(endpoint_id)


@shared_task
def sweep_notices() -> None:
    """Every 20 s: limits that ended by time alone, and notices that were lost or are due again."""
    limits.catch_up()
    for endpoint_id in delivery.due():
        deliver_notices.delay(endpoint_id)


@receiver(renewal_drafted)
def _on_renewal_drafted(sender: object, organization: Organization, **kwargs: Any) -> None:
    name = str(organization.pk)
    transaction.on_commit(lambda: _publish(report_overage_of, [name]), robust=True)


@receiver(notices_put)
def _on_notices_put(sender: object, endpoints: list[int], **kwargs: Any) -> None:
    transaction.on_commit(lambda: _publish(deliver_notices, endpoints), robust=True)


def _publish(task: Any, subjects: Sequence[int | str]) -> None:
    if time.monotonic() < _Broker.rests_until:
        return
    try:
        for subject in subjects:
            task.apply_async((subject,), retry=False)
    except Exception as error:  # noqa: BLE001  kombu raises the transport's own kinds
        _Broker.rests_until = time.monotonic() + _BROKER_REST_SECONDS
        logger.warning("celery.broker_unavailable", error=type(error).__name__)
