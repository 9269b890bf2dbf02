"""Looks at the licence when a process starts and every hour, and says when its state changed."""

import hashlib
from datetime import datetime

import structlog
from django.utils import timezone

from billing.licence import source, standing
from billing.licence.judgement import Standing, State
from billing.models import Installation

logger = structlog.get_logger(__name__)


def check(clock: datetime) -> bool:
    """True when something changed since the last check, so that every verdict is derived anew."""
    found = standing.at(clock)
    row = standing.installation()
    digest = hashlib.sha256(source.read().encode()).hexdigest()
    changed = (row.licence_state, row.licence_digest) != (found.state, digest)
    Installation.objects.filter(pk=row.pk).update(
        licence_state=found.state, licence_digest=digest, checked_at=timezone.now()
    )
    if changed:
        _say(found)
    return changed


def _say(found: Standing) -> None:
    log = logger.info if found.is_usable or found.state is State.NOT_REQUIRED else logger.error
    log("alert.licence_changed", state=found.state, detail=found.detail)
