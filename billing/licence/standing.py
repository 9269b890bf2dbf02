"""How this installation stands with its licence now: one word, and what it may give."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Greatest

from billing import catalog
from billing.licence import source, token
from billing.licence.token import Licence, LicenceRefused
from billing.models import Installation

logger = structlog.get_logger(__name__)

# Clocks are corrected by seconds; by more than a day only somebody who means it (F3).
ROLLED_BACK: Final = timedelta(hours=24)
_MARK_EVERY: Final = timedelta(minutes=10)
_ON: Final = frozenset({"1", "true", "yes", "on"})


class State(StrEnum):
    NOT_REQUIRED = "not_required"
    VALID = "valid"
    GRACE = "grace"  # past its end, within the days of grace
    MISSING = "missing"
    INVALID = "invalid"
    OTHER_INSTANCE = "other_instance"
    OTHER_CATALOG = "other_catalog"
    UNKNOWN_PLAN = "unknown_plan"
    NOT_STARTED = "not_started"
    EXPIRED = "expired"
    CLOCK_ROLLED_BACK = "clock_rolled_back"


USABLE: Final = frozenset({State.VALID, State.GRACE})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """`licence` is set when the token is authentic, whatever else is wrong with it."""

    state: State
    now: datetime
    detail: str = ""
    licence: Licence | None = None
    grace: timedelta = timedelta(0)

    @property
    def is_usable(self) -> bool:
        return self.state in USABLE

    @property
    def grace_ends_at(self) -> datetime | None:
        return None if self.licence is None else self.licence.ends_at + self.grace


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
        return _judged(row, clock)
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


def _judged(row: Installation, clock: datetime) -> Standing:
    grace = timedelta(days=catalog.current().licence.expiry_grace_days)
    written = source.read()
    if not written:
        return Standing(state=State.MISSING, now=clock)
    try:
        licence = token.verify(written, source.public_keys())
    except LicenceRefused as refused:
        return Standing(state=State.INVALID, now=clock, detail=refused.code)
    latest = max(clock, row.latest)
    state = _state(licence, row, latest, grace)
    if clock < max(latest, licence.issued_at) - ROLLED_BACK:
        state = State.CLOCK_ROLLED_BACK
    return Standing(state=state, now=latest, licence=licence, grace=grace)


def _state(licence: Licence, row: Installation, latest: datetime, grace: timedelta) -> State:
    current = catalog.current()
    faults = {
        State.OTHER_INSTANCE: licence.instance != str(row.instance),
        State.OTHER_CATALOG: licence.catalog != current.key,
        State.UNKNOWN_PLAN: licence.plan not in current.plans,
        State.NOT_STARTED: latest < licence.starts_at,
        State.EXPIRED: latest >= licence.ends_at + grace,
        State.GRACE: latest >= licence.ends_at,
    }
    return next((state for state, holds in faults.items() if holds), State.VALID)
