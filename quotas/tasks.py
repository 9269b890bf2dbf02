"""Celery's door: thin, short, safe to repeat. Periods are in `quotas/schedule.py`."""

import structlog
from celery import shared_task

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
