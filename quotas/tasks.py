"""Celery's door: thin, short, safe to repeat. Periods are in `quotas/schedule.py`."""

import structlog
from celery import shared_task
from django.conf import settings

from quotas import enforcement_modes
from quotas.engine import holds, partitions
from quotas.reaction import alerts
from quotas.reading import rollups

logger = structlog.get_logger(__name__)

# Charts promise to be a minute old (C45); five times that is somebody's business.
_STALE_SECONDS = 300.0


@shared_task(soft_time_limit=540, time_limit=570)
def roll_up_usage() -> None:
    """Every 20 s: sums up what the ledger got since, then looks whose limits came near."""
    stale = rollups.staleness_seconds()
    moved = rollups.catch_up()
    logger.info("usage.rolled_up", organizations=len(moved), usage_staleness_seconds=stale)
    if stale > _STALE_SECONDS:
        logger.error("alert.usage_stale", usage_staleness_seconds=stale)
    alerts.look(moved)


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


@shared_task(soft_time_limit=50)
def expire_holds() -> None:
    """Every minute: frees holds that nobody asks about any more (C10)."""
    freed = holds.expire_overdue()
    if freed:
        logger.info("usage.holds_expired", organizations=freed)


@shared_task(soft_time_limit=150)
def keep_partitions() -> None:
    """Every hour: the ledger's next months are ready, and what is past its retention is gone."""
    made = partitions.prepare()
    gone = partitions.drop_older_than(settings.USAGE_RETENTION_MONTHS)
    partitions.astray()
    if made or gone:
        logger.info("usage.partitions", made=made, gone=gone)
