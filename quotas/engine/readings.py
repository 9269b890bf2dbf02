"""What `check` answers from: one meter of one organization at one instant, and the rules.

A reading may be stale by a second. It advises; only PostgreSQL admits.
"""

from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

from quotas.engine import clock
from quotas.engine.decisions import Decision, Line, Outcome, Reason
from quotas.models import Enforcement, Kind

_VERSION = 1  # of the wire form; another one is a miss


class Reading(NamedTuple):
    """`member` is empty unless the limit is per member."""

    sequence: int  # the head's
    limits_sequence: int
    frozen_at: datetime | None
    valid_until: datetime | None
    plan: str
    access: str
    kind: str
    refusal: str
    hard: bool
    overage_cap: int | None
    per_member: bool
    enforcement: str
    allowance: int | None
    used: int
    held: int
    credited: int
    overage: int
    credits: int
    period_start: datetime
    period_end: datetime
    resets: bool

    def is_current(self) -> bool:
        """False past `valid_until` or the period: then PostgreSQL must be asked."""
        at = self.at
        return (self.valid_until is None or at < self.valid_until) and (
            self.period_start <= at < self.period_end
        )

    @property
    def at(self) -> datetime:
        return self.frozen_at or clock.now()

    @property
    def remaining(self) -> int | None:
        if self.allowance is None or self.kind == Kind.CEILING:
            return self.allowance
        left = self.allowance + self.credited - self.used - self.held
        return max(left, 0) + self.credits

    @property
    def overage_shown(self) -> int:
        """A flow's billable units were counted one by one; a level's excess is what it is now."""
        if self.kind == Kind.FLOW:
            return self.overage
        return 0 if self.allowance is None else max(self.used - self.allowance, 0)

    def to_json(self) -> bytes:
        return orjson.dumps([_VERSION, *self])

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Raises ValueError or TypeError for anything that `to_json` did not write."""
        version, *values = orjson.loads(raw)
        if version != _VERSION or len(values) != len(FIELDS):
            raise ValueError("another version")
        named = dict(zip(FIELDS, values, strict=True))
        for name, kinds in _TYPES.items():
            if not isinstance(named[name], kinds) or (
                isinstance(named[name], bool) and bool not in kinds
            ):
                raise TypeError(name)
        for name in _INSTANTS:
            if named[name] is not None:
                named[name] = _instant(named[name])
        return cls(**named)

    def after(self, **changes: Any) -> Self:
        return self._replace(**changes)


FIELDS = Reading._fields
_INSTANTS = ("frozen_at", "valid_until", "period_start", "period_end")
_NONE = type(None)
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("sequence", "limits_sequence", "used", "held"), (int,)),
    **dict.fromkeys(("credited", "overage", "credits"), (int,)),
    **dict.fromkeys(("plan", "access", "kind", "refusal", "enforcement"), (str,)),
    **dict.fromkeys(("period_start", "period_end"), (str,)),
    **dict.fromkeys(("frozen_at", "valid_until"), (str, _NONE)),
    **dict.fromkeys(("allowance", "overage_cap"), (int, _NONE)),
    **dict.fromkeys(("hard", "per_member", "resets"), (bool,)),
}


def decide(reading: Reading, organization: UUID, line: Line) -> Decision:
    """The rules of apply_usage.sql, applied to a reading; nothing is counted."""
    reason = refusal_of(reading, line.amount)
    denied = reason is not None and reading.enforcement == Enforcement.ENFORCE
    return Decision(
        organization=organization,
        meter=line.meter,
        member=line.member,
        amount=line.amount,
        outcome=Outcome.DENIED if denied else Outcome.ALLOWED,
        reason=reason,
        plan=reading.plan,
        used=reading.used,
        held=reading.held,
        limit=reading.allowance,
        remaining=reading.remaining,
        overage=reading.overage_shown,
        resets_at=reading.period_end if reading.resets else None,
        enforcement=reading.enforcement,
        at=reading.at,
    )


def refusal_of(reading: Reading, amount: int) -> str | None:
    if reading.enforcement == Enforcement.DISABLED:
        return None
    if reading.access == "read_only":
        return Reason.ACCOUNT_LOCKED
    if reading.access == "restricted":
        return Reason.PAYMENT_REQUIRED
    if reading.refusal:
        return reading.refusal
    return None if _fits(reading, amount) else Reason.QUOTA_EXCEEDED


def _fits(reading: Reading, amount: int) -> bool:
    if reading.allowance is None:
        return True
    if reading.kind == Kind.CEILING:
        return amount <= reading.allowance
    room = reading.allowance + reading.credited + reading.credits - reading.used - reading.held
    if amount <= room:
        return True
    if reading.hard:
        return False
    beyond = min(amount - room, amount + reading.overage + reading.held)
    return reading.overage_cap is None or beyond <= reading.overage_cap


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a naive instant")
    return at
