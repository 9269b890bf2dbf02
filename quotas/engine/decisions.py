"""What the engine is asked and what it answers: typed, frozen, free of HTTP and SQL."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache, partial
from math import ceil
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.conf import settings
from django.utils.functional import lazy
from django.utils.translation import gettext as _

from billing import catalog
from quotas.engine import units
from quotas.exceptions import (
    AccountLocked,
    FeatureUnavailable,
    PaymentRequired,
    QuotaError,
    QuotaExceeded,
    QuotaExhausted,
    ReleaseExceedsUsage,
)

OWN_PROCESS = 0  # the satellite id of our own code


class Outcome(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"


class Reason(StrEnum):
    """Machine-readable; in observe mode an allowed answer carries the reason it would have had."""

    QUOTA_EXCEEDED = "quota_exceeded"
    ACCOUNT_LOCKED = "account_locked"
    PAYMENT_REQUIRED = "payment_required"
    FEATURE_UNAVAILABLE = "feature_unavailable"
    GROUP_REFUSED = "group_refused"
    RELEASE_EXCEEDS_USAGE = "release_exceeds_usage"


class Line(NamedTuple):
    """So much of one meter. `member` is an opaque id, empty for the organization itself."""

    meter: str
    amount: int
    member: str = ""


class Request(NamedTuple):
    """One call to decide and record. All of its lines happen, or none."""

    verb: str
    organization: UUID
    key: str
    lines: tuple[Line, ...]
    satellite: int = OWN_PROCESS
    fingerprint: int = 0
    occurred_at: datetime | None = None  # of a record; the observation's for a level
    seconds: int = 0  # how long a reservation holds
    number: int = 0  # of the reservation that ends
    dimensions: str | None = None  # JSON
    by_key: bool = False  # a release that names the consume's key


class Decision(NamedTuple):
    """The answer for one line. `limit` and `remaining` None mean unlimited."""

    organization: UUID
    meter: str
    member: str
    amount: int
    outcome: Outcome
    reason: str | None
    plan: str
    used: int
    held: int
    limit: int | None
    remaining: int | None
    overage: int
    resets_at: datetime | None
    enforcement: str
    at: datetime  # the organization's own time
    sequence: int | None = None  # None: nothing was recorded
    replayed: bool = False
    late: bool = False

    @property
    def allowed(self) -> bool:
        return self.outcome is Outcome.ALLOWED

    @property
    def event_id(self) -> str | None:
        return None if self.sequence is None else f"{self.organization.hex}-{self.sequence}"

    @property
    def retry_after(self) -> timedelta | None:
        """How long until the meter starts again; None where waiting does not help."""
        if self.resets_at is None or self.reason != Reason.QUOTA_EXCEEDED:
            return None
        return max(self.resets_at - self.at, timedelta(seconds=1))

    def or_raise(self) -> Self:
        if not self.allowed:
            raise refusal(self)
        return self


@dataclass(frozen=True, slots=True)
class Decisions:
    """The answers for every line of a request; allowed when all are."""

    lines: tuple[Decision, ...]

    @property
    def allowed(self) -> bool:
        return all(line.allowed for line in self.lines)

    @property
    def deciding(self) -> Decision:
        """The line that the others were refused with, else the first."""
        for line in self.lines:
            if not line.allowed and line.reason != Reason.GROUP_REFUSED:
                return line
        return self.lines[0]

    def or_raise(self) -> Self:
        self.deciding.or_raise()
        return self


def refusal(decision: Decision) -> QuotaError:
    """The exception that says what the decision says, in the language of whoever reads it."""
    numbers = body(decision)
    sentence = _sentence_of(decision)
    match decision.reason:
        case Reason.ACCOUNT_LOCKED:
            return AccountLocked(sentence, **numbers)
        case Reason.PAYMENT_REQUIRED:
            return PaymentRequired(sentence, **numbers)
        case Reason.FEATURE_UNAVAILABLE:
            return FeatureUnavailable(sentence, **numbers)
        case Reason.RELEASE_EXCEEDS_USAGE:
            return ReleaseExceedsUsage(sentence, **numbers)
        case _:
            return _exceeded(decision, sentence, numbers)


def _sentence(decision: Decision) -> str:
    match decision.reason:
        case Reason.ACCOUNT_LOCKED:
            return _("This workspace is read-only until an open invoice is paid.")
        case Reason.PAYMENT_REQUIRED:
            return _("A payment is due. New paid actions start again once it succeeds.")
        case Reason.FEATURE_UNAVAILABLE:
            return _("The plan of this organization does not include this.")
        case Reason.RELEASE_EXCEEDS_USAGE:
            return _("More would be released than is used.")
        case _:
            return quota_sentence(decision)


_sentence_of = lazy(_sentence, str)


def body(decision: Decision) -> dict[str, Any]:
    """The answer of the HTTP contract (DESIGN 5), which refusals carry too."""
    return {
        "allowed": decision.allowed,
        "reason": decision.reason,
        "plan": decision.plan,
        "meter": decision.meter,
        "used": decision.used,
        "held": decision.held,
        "limit": decision.limit,
        "remaining": decision.remaining,
        "overage": decision.overage,
        "resets_at": None if decision.resets_at is None else instant(decision.resets_at),
        "upgrade_url": upgrade_url(decision.organization),
        "enforcement": decision.enforcement,
        "event_id": decision.event_id,
    }


def upgrade_url(organization: UUID) -> str:
    return _site() + _plans_of(organization)


@lru_cache(maxsize=10_000)
def _plans_of(organization: UUID) -> str:
    return f"/settings/billing/?organization={organization}"


@cache
def _site() -> str:
    """Read once: a setting costs as much as the rest of an answer."""
    return str(settings.SITE_URL)


@lru_cache(maxsize=4_096)  # ends of periods, mostly
def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _exceeded(decision: Decision, sentence: str, numbers: dict[str, Any]) -> QuotaExceeded:
    wait = decision.retry_after
    if wait is None:
        return QuotaExceeded(sentence, **numbers)
    seconds = ceil(wait.total_seconds())
    return QuotaExhausted(sentence, headers={"Retry-After": str(seconds)}, **numbers)


def quota_sentence(decision: Decision) -> str:
    """In the meter's own name and units."""
    meter = catalog.current().meters.get(decision.meter)
    show = units.shown if meter is None else partial(units.shown, display=meter.display)
    values = {
        "meter": decision.meter if meter is None else str(meter.name),
        "amount": show(decision.amount),
        "used": show(decision.used + decision.held),
        "limit": show(decision.limit or 0),
    }
    if meter is None or meter.display == "count":
        said = _("%(meter)s: %(used)s of %(limit)s are used, so %(amount)s more would be too many.")
    else:
        said = _("%(meter)s: %(used)s of %(limit)s is used, so %(amount)s more is too much.")
    return said % values
