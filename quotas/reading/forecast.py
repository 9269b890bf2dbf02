"""What enforcement would have refused, from what observe mode admitted. Pure: rows in, lines out.

Observe mode counts what it lets pass, so the calls it flags are more than enforcement refuses: a
refused use takes no room from the next one. So the rows are gone through once more, and `excess` is
what was counted that enforcement would not have counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from quotas.models import Enforcement, Kind, Verb

_USES = frozenset({Verb.CONSUME, Verb.RECORD, Verb.RESERVE})
_QUOTA = "quota_exceeded"


class Row(NamedTuple):
    """A row of the ledger, as far as it matters here."""

    satellite_id: int
    key: str
    line: int
    sequence: int
    recorded_at: datetime
    verb: str
    meter: str
    member: str
    per_member: bool
    period_start: datetime
    amount: int
    delta: int
    billable: int
    accepted: bool
    reason: str | None
    used: int
    held: int
    allowance: int | None
    overage: int
    enforcement: str


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Of one meter: how it would refuse. `pool` are its credits, burned and left."""

    kind: str
    hard: bool
    cap: int | None = None
    pool: int = 0


@dataclass(frozen=True, kw_only=True)
class Refused:
    """One call that enforcement would have refused, by the line that decides."""

    meter: str
    reason: str
    amount: int
    at: datetime


Place = tuple[str, str, datetime]


@dataclass
class _Excess:
    used: int = 0
    held: int = 0


@dataclass
class Forecast:
    """One organization. Rows in the order of their sequence."""

    terms: Mapping[str, Terms]
    excess: dict[Place, _Excess] = field(default_factory=dict)
    refused: dict[tuple[int, str], list[Row]] = field(default_factory=dict)

    def of(self, rows: Iterable[Row]) -> Iterator[Refused]:
        for _call, found in groupby(rows, key=_call_of):
            lines = list(found)
            if lines[0].verb in _USES and lines[0].line >= 0:
                yield from self._use(lines)
            else:
                for row in lines:
                    self._settle(row)

    def _use(self, lines: list[Row]) -> Iterator[Refused]:
        """All or none: one refused line takes the others back."""
        if lines[0].verb == Verb.RECORD or not lines[0].accepted:
            return
        for row in lines:
            why = self._why(row)
            if why is None:
                continue
            for each in lines:
                self._add(each, each.amount)
            self.refused[row.satellite_id, row.key] = lines
            yield Refused(meter=row.meter, reason=why, amount=row.amount, at=row.recorded_at)
            return

    def _settle(self, row: Row) -> None:
        """Ends and corrections: what ends a refused use would not have happened."""
        excess = self._excess(row)
        used = self.refused.get((row.satellite_id, row.key), []) if row.line < 0 else []
        undone = next((use for use in used if use.line == -1 - row.line), None)
        if row.verb == Verb.LEVEL:
            excess.used = 0
        elif undone is not None and row.verb in {Verb.COMMIT, Verb.VOID}:
            excess.held = max(excess.held - undone.amount, 0)
            excess.used += row.delta
        elif undone is not None:
            excess.used += row.delta
        elif row.delta < 0 and row.used - row.delta - excess.used < -row.delta:
            excess.used += row.delta  # more than enforcement would have counted: refused there

    def _why(self, row: Row) -> str | None:
        if row.enforcement != Enforcement.OBSERVE or row.reason is None:
            return None
        terms = self.terms.get(row.meter)
        if row.reason != _QUOTA or terms is None or row.allowance is None:
            return row.reason
        return None if self._fits(row, terms, row.allowance) else row.reason

    def _fits(self, row: Row, terms: Terms, allowance: int) -> bool:
        """The rule of apply_usage.sql, with what enforcement would have counted."""
        if terms.kind == Kind.CEILING:
            return False
        excess = self._excess(row)
        used_before, held_before = row.used, row.held
        if row.verb == Verb.RESERVE:
            held_before -= row.amount
        else:
            used_before -= row.delta
        held = held_before - min(excess.held, held_before)  # expired holds leave no row
        room = allowance + terms.pool - (used_before - excess.used) - held
        if row.amount <= room:
            return True
        if terms.hard or terms.cap is None:
            return not terms.hard
        overage = row.overage - row.billable
        if terms.kind == Kind.LEVEL:
            overage = max(used_before - allowance, 0)
        billed = max(overage - excess.used, 0)
        return terms.cap >= min(row.amount - room, row.amount + billed + held)

    def _add(self, row: Row, amount: int) -> None:
        terms = self.terms.get(row.meter)
        if terms is not None and terms.kind == Kind.CEILING:
            return
        if row.verb == Verb.RESERVE:
            self._excess(row).held += amount
        else:
            self._excess(row).used += amount

    def _excess(self, row: Row) -> _Excess:
        place = (row.meter, row.member if row.per_member else "", row.period_start)
        return self.excess.setdefault(place, _Excess())


def _call_of(row: Row) -> tuple[int, str, str, bool]:
    return row.satellite_id, row.key, row.verb, row.line >= 0
