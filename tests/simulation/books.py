"""What one organization's satellites were told, added up by ourselves.

Written from DESIGN 4, not from the SQL: every new row of the ledger is compared with the answer it
belongs to, with the sums of all rows before it, and with the limit that stood at that moment.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from quotas.engine.decisions import Decision, Request
from quotas.engine.periods import period_at
from quotas.models import Credit, Kind, PeriodRule, QuotaHead, UsageLimit

Place = tuple[str, datetime]  # meter, start of the usage period

_NEW_ROWS: Final = """
SELECT sequence, line, verb, meter, period_start, period_end, occurred_at, amount, delta, credited,
       billable, accepted, reason, used, held, enforcement, late, key
FROM usage_event WHERE organization_id = %s AND sequence > %s ORDER BY sequence
"""
_ROOM_VERBS: Final = frozenset({"consume", "reserve"})


class Broken(AssertionError):
    """Something that must hold does not."""


def must(holds: object, sentence: str, *facts: object) -> None:
    if not holds:
        raise Broken(" ".join([sentence, *(repr(fact) for fact in facts)]))


@dataclass(frozen=True)
class Row:
    sequence: int
    line: int
    verb: str
    meter: str
    period_start: datetime
    period_end: datetime
    occurred_at: datetime
    amount: int
    delta: int
    credited: int
    billable: int
    accepted: bool
    reason: str | None
    used: int
    held: int
    enforcement: str
    late: bool
    key: str

    @property
    def place(self) -> Place:
        return (self.meter, self.period_start)


@dataclass
class Hold:
    place: Place
    amount: int
    expires_at: datetime
    ended: str = ""


@dataclass(frozen=True)
class Answered:
    """A request and the numbers it was answered with, so that it can be asked again."""

    request: Request
    numbers: tuple[tuple[Any, ...], ...]


@dataclass
class Books:
    """One organization."""

    organization: UUID
    last: int = 0
    rows: int = 0
    used: Counter[Place] = field(default_factory=Counter)
    credited: Counter[Place] = field(default_factory=Counter)
    billed: Counter[Place] = field(default_factory=Counter)
    holds: dict[str, Hold] = field(default_factory=dict)
    answers: dict[str, Answered] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)

    def held(self, place: Place, now: datetime) -> int:
        return sum(
            hold.amount
            for hold in self.holds.values()
            if hold.place == place and not hold.ended and hold.expires_at > now
        )

    def enter(self, decisions: Sequence[Decision]) -> list[Row]:
        """What was acknowledged at once, beside the rows that it made. Raises Broken."""
        fresh = self._new_rows()
        news = {one.sequence or 0: one for one in decisions if (one.sequence or 0) > self.last}
        must(
            [row.sequence for row in fresh] == sorted(news),
            "an answer and the ledger differ",
            decisions,
            fresh,
        )
        if fresh:
            self._take(fresh, [news[row.sequence] for row in fresh])
        return fresh

    def _take(self, fresh: list[Row], news: list[Decision]) -> None:
        now, limits, left = self._terms()
        for at, (row, decision) in enumerate(zip(fresh, news, strict=True)):
            burned = sum(one.credited for one in fresh[at:] if one.meter == row.meter)
            there_was = left.get(row.meter, 0) + burned
            self._row(row, decision, now, limits.get(row.meter), there_was)

    def nothing_new(self, why: object) -> None:
        must(not self._new_rows(), "what was refused as impossible wrote rows", why)

    def _new_rows(self) -> list[Row]:
        with connection.cursor() as cursor:
            cursor.execute(_NEW_ROWS, [self.organization, self.last])
            return [Row(*values) for values in cursor.fetchall()]

    def _terms(self) -> tuple[datetime, dict[str, UsageLimit], dict[str, int]]:
        """The clock, the limits, and the credits that are left, as of the decision just made."""
        head = QuotaHead.objects.get(organization=self.organization)
        limits = {
            limit.meter: limit
            for limit in UsageLimit.objects.filter(organization=self.organization)
        }
        must(head.frozen_at is not None, "an organization lost its clock", self.organization)
        now: datetime = head.frozen_at  # type: ignore[assignment]  # just seen to
        left: dict[str, int] = {}
        if any(limit.has_credits for limit in limits.values()):
            for credit in Credit.objects.filter(organization=self.organization):
                if credit.expires_at is None or credit.expires_at > now:
                    left[credit.meter] = left.get(credit.meter, 0) + credit.remaining
        return now, limits, left

    def _row(
        self, row: Row, decision: Decision, now: datetime, limit: UsageLimit | None, burnable: int
    ) -> None:
        self.last, self.rows = row.sequence, self.rows + 1
        must(decision.allowed == row.accepted, "allowed, and refused in the ledger", row)
        must(limit is not None, "a row of a meter without a limit", row)
        assert limit is not None
        _in_its_period(row, limit)
        _counts_what_it_says(row)
        if limit.kind != Kind.CEILING:
            self._admission(row, now, limit, burnable)
        self._add(row)
        if row.accepted and not row.late and limit.kind != Kind.CEILING:
            must(
                (decision.used, row.used) == (self.used[row.place],) * 2,
                "the answer's sum is not the sum of what was answered",
                decision.used, row, self.used[row.place],
            )  # fmt: skip

    def _admission(self, row: Row, now: datetime, limit: UsageLimit, burnable: int) -> None:
        """`burnable` is what was left of them before this row."""
        if row.verb not in _ROOM_VERBS or row.enforcement != "enforce" or limit.amount is None:
            return
        beyond = (
            self.used[row.place] + self.held(row.place, now) + row.amount
            - self.credited[row.place] - limit.amount - burnable
        )  # fmt: skip
        if row.accepted:
            must(not limit.refusal, "admitted although it is refused whatever the numbers", row)
            must(not limit.hard or beyond <= 0, "admitted beyond a hard limit", row, beyond)
            cap = limit.overage_cap
            billed = self.billed[row.place] + row.billable
            must(limit.hard or cap is None or billed <= cap or not row.billable,
                 "billed beyond the cap", row, billed, cap)  # fmt: skip
        elif row.reason == "quota_exceeded" and limit.hard and row.line == 0:
            must(beyond > 0, "refused although there was room", row, beyond)

    def _add(self, row: Row) -> None:
        self.used[row.place] += row.delta
        self.credited[row.place] += row.credited
        self.billed[row.place] += row.billable
        must(self.used[row.place] >= 0, "used is below zero", row)

    # --- Holds ----------------------------------------------------------------------------

    def hold(self, identity: str, row: Row, seconds: int) -> None:
        self.holds[identity] = Hold(
            row.place, row.amount, row.occurred_at + timedelta(seconds=seconds)
        )

    def end(self, identity: str, how: str, now: datetime) -> None:
        hold = self.holds[identity]
        must(not hold.ended, "a hold ended twice", identity, hold, how)
        must(hold.expires_at > now, "a hold ended after its expiry", identity, hold, how)
        hold.ended = how


def _in_its_period(row: Row, limit: UsageLimit) -> None:
    must(
        row.period_start <= row.occurred_at < row.period_end
        or limit.period_rule in (PeriodRule.NEVER, PeriodRule.PAID)
        or row.verb in ("release", "commit", "void"),  # belong to what they end
        "counted in a period that it is not in",
        row,
    )
    if row.verb in ("consume", "reserve") and limit.period_rule != PeriodRule.NEVER:
        expected = period_at(
            PeriodRule(limit.period_rule), limit.period_anchor, row.occurred_at, limit.paid_until
        )
        must(row.period_start == expected.start, "counted in another period", row, expected)


def _counts_what_it_says(row: Row) -> None:
    must(row.accepted or row.delta == 0, "a refusal counts", row)
    if row.accepted and row.verb == "record":
        must(row.delta == row.amount, "a record counts something else", row)
    if row.verb in ("reserve", "void"):
        must(row.delta == 0, "a hold counts", row)


def numbers(decisions: Sequence[Decision]) -> tuple[tuple[Any, ...], ...]:
    """What may not differ when the same is asked again."""
    return tuple(
        (one.meter, one.amount, one.allowed, one.reason, one.used, one.held, one.limit,
         one.remaining, one.overage, one.sequence)
        for one in decisions
    )  # fmt: skip
