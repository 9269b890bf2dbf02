"""What a written licence is worth to an installation at an instant. Pure: no clock, no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from billing.licence import token
from billing.licence.token import Licence, LicenceRefused

# Clocks are corrected by seconds; by more than a day only somebody who means it (F3).
ROLLED_BACK: Final = timedelta(hours=24)


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
class Home:
    """The installation: who it is, what it sells, and the latest time that it has ever seen."""

    instance: str
    catalog: str
    plans: frozenset[str]
    grace: timedelta
    latest: datetime


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


def judge(
    written: str, keys: Mapping[str, Ed25519PublicKey], home: Home, clock: datetime
) -> Standing:
    if not written:
        return Standing(state=State.MISSING, now=clock)
    try:
        licence = token.verify(written, keys)
    except LicenceRefused as refused:
        return Standing(state=State.INVALID, now=clock, detail=refused.code)
    latest = max(clock, home.latest)
    state = _state(licence, home, latest)
    if clock < max(latest, licence.issued_at) - ROLLED_BACK:
        state = State.CLOCK_ROLLED_BACK
    return Standing(state=state, now=latest, licence=licence, grace=home.grace)


def _state(licence: Licence, home: Home, latest: datetime) -> State:
    faults = {
        State.OTHER_INSTANCE: licence.instance != home.instance,
        State.OTHER_CATALOG: licence.catalog != home.catalog,
        State.UNKNOWN_PLAN: licence.plan not in home.plans,
        State.NOT_STARTED: latest < licence.starts_at,
        State.EXPIRED: latest >= licence.ends_at + home.grace,
        State.GRACE: latest >= licence.ends_at,
    }
    return next((state for state, holds in faults.items() if holds), State.VALID)
