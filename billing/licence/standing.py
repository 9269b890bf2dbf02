"""How this installation stands with its licence now: one word, and what it may give."""

import os
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Greatest

from billing import catalog
from billing.licence import source
from billing.licence.judgement import Home, Standing, State, judge
from billing.models import Installation

logger = structlog.get_logger(__name__)

_MARK_EVERY: Final = timedelta(minutes=10)
_ON: Final = frozenset({"1", "true", "yes", "on"})


def is_required() -> bool:
    """By the catalogue, or by the installation's own variable (the Helm chart sets it)."""
    rules = catalog.current().licence
    asked = os.environ.get(rules.required_env or "", "").strip().lower()
    return rules.required or (rules.supported and asked in _ON)


def at(clock: datetime) -> Standing:
    """By the database's clock. Never raises: a bad licence unlocks nothing and stops nothing."""
    if not is_required():
        return Standing(state=State.NOT_REQUIRED, now=clock)
    try:
        row = installation()
        mark_time(row, clock)
        return judge(source.read(), source.public_keys(), _home(row), clock)
    except Exception:
        logger.exception("alert.licence_check_failed")
        return Standing(state=State.INVALID, now=clock, detail="unexpected")


def installation() -> Installation:
    found, _made = Installation.objects.get_or_create(pk=1)
    return found


@transaction.atomic
def mark_time(row: Installation, clock: datetime) -> None:
    """The latest time moves forward only; whoever else moves it now is not waited for."""
    if clock < row.latest + _MARK_EVERY:
        return
    if Installation.objects.select_for_update(skip_locked=True).filter(pk=row.pk).first():
        Installation.objects.filter(pk=row.pk).update(latest=Greatest("latest", Value(clock)))


def _home(row: Installation) -> Home:
    current = catalog.current()
    return Home(
        instance=str(row.instance),
        catalog=current.key,
        plans=frozenset(current.plans),
        grace=timedelta(days=current.licence.expiry_grace_days),
        latest=row.latest,
    )
