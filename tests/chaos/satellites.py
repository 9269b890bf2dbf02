"""Satellites that use every hot call at once, and keep what they were told."""

import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from uuid import UUID, uuid4

from tests.chaos.crowd import Act, Crowd
from tests.chaos.line import Line, Unanswered

METERS: Final = ("ai_queries", "storage")
LARGEST: Final = 3
HOLD_SECONDS: Final = 600
MOST_EVENTS: Final = 12
PAUSE_SECONDS: Final = 0.02
OLDEST_SECONDS: Final = 60  # that a check may answer from
# 402 and 429 refuse for want of room, 403 by the plan, 409 the end of a hold that has ended.
ANSWERS: Final = frozenset({200, 402, 403, 409, 429})
HASTY: Final = 4  # every so many gives up at the first failure, and never learns what became of it
_USAGE: Final = "/api/v1/usage"


@dataclass(frozen=True, slots=True)
class Told:
    """One event that a satellite was told of: it stands in the ledger, and counts so much."""

    organization: UUID
    meter: str
    sequence: int
    verb: str
    allowed: bool
    delta: int


class Satellites:
    """`generous` may be recorded for, too: what is after the fact passes any limit."""

    def __init__(
        self, port: int, secret: str, scarce: Sequence[UUID], generous: Sequence[UUID], number: int
    ) -> None:
        self.port, self.secret = port, secret
        self.scarce, self.generous = list(scarce), list(generous)
        self.run = uuid4().hex[:8]
        self.told: list[Told] = []
        self.maybe: list[tuple[UUID, str, int]] = []  # of what nobody learned the outcome
        self.said: Counter[str] = Counter()
        self.differences: list[str] = []
        self.lines: list[Line] = []
        self.crowd = Crowd(
            "satellite", [self._satellite(n) for n in range(number)], pause=PAUSE_SECONDS
        )

    @property
    def repeats(self) -> Counter[str]:
        return sum((line.repeats for line in self.lines), Counter())

    def _satellite(self, number: int) -> Act:
        headers = {"Authorization": f"Bearer {self.secret}"}
        line = Line(self.port, headers, patient=number % HASTY != HASTY - 1)
        self.lines.append(line)
        return _Satellite(self, line, f"{self.run}-{number}").act


class _Satellite:
    def __init__(self, all_of_them: Satellites, line: Line, name: str) -> None:
        self.all, self.line, self.name = all_of_them, line, name
        self.keys = count()
        self.asked: deque[tuple[Any, Any]] = deque(maxlen=50)  # what may be asked again
        # When it was told of what, added up: whatever others do, no check may say less.
        self.counted: dict[tuple[str, str], deque[tuple[float, int]]] = defaultdict(deque)
        self.acts: list[tuple[Callable[[random.Random], None], int]] = [
            (self.consume, 8), (self.record, 3), (self.batch, 2), (self.reserve, 3),
            (self.check, 4), (self.again, 1),
        ]  # fmt: skip

    def act(self, chance: random.Random) -> None:
        acts, weights = zip(*self.acts, strict=True)
        (chosen,) = chance.choices(acts, weights)
        chosen(chance)

    def consume(self, chance: random.Random) -> None:
        body = self._body(chance, [*self.all.scarce, *self.all.generous])
        said = self._counted("consume", "/consume", body, body)
        self.asked.append((body, said))

    def record(self, chance: random.Random) -> None:
        body = self._body(chance, self.all.generous)
        self._counted("record", "/record", body, body)

    def batch(self, chance: random.Random) -> None:
        everybody = [*self.all.scarce, *self.all.generous]
        number = chance.randint(2, MOST_EVENTS)
        events = [self._body(chance, everybody) for _ in range(number)]
        try:
            status, said = self.line.ask("POST", f"{_USAGE}/batch", {"events": events})
        except Unanswered:
            for body in events:
                self._lost(body, body["amount"])
            raise
        if self._surprises(status, said):
            return
        for body, result in zip(events, said["results"], strict=True):
            if not self._surprises(result["status"], result):
                self._keep("batch", body, result, body["amount"])

    def reserve(self, chance: random.Random) -> None:
        """Most holds are committed, some voided, some forgotten."""
        body = self._body(chance, [*self.all.scarce, *self.all.generous])
        held = self._counted(
            "reserve", "/reservations", body | {"expires_in": HOLD_SECONDS}, body, counts=0
        )
        if not held.get("id"):
            return
        path = f"/reservations/{held['id']}"
        how = chance.random()
        if how < 0.6:
            amount = chance.randint(0, body["amount"])
            self._counted("commit", f"{path}/commit", {"amount": amount}, body, counts=amount)
        elif how < 0.9:
            self._counted("void", f"{path}/void", {}, body, counts=0)

    def check(self, chance: random.Random) -> None:
        """Of those whose sums never begin anew, because their time stands still."""
        body = self._body(chance, self.all.scarce)
        del body["idempotency_key"]
        least = self._known_for_a_minute(body["organization"], body["meter"])
        status, said = self.line.ask("POST", f"{_USAGE}/check", body)
        if not self._surprises(status, said) and said["used"] < least:
            self.all.differences.append(f"older than a minute: {said}, at least {least}")
        self.all.said["check"] += 1

    def _known_for_a_minute(self, organization: str, meter: str) -> int:
        known = self.counted[organization, meter]
        until = time.monotonic() - OLDEST_SECONDS
        while len(known) > 1 and known[1][0] < until:
            known.popleft()
        return known[0][1] if known and known[0][0] < until else 0

    def again(self, chance: random.Random) -> None:
        """The same key gets the same answer."""
        if not self.asked:
            return
        body, known = chance.choice(self.asked)
        status, said = self.line.ask("POST", f"{_USAGE}/consume", body)
        if not self._surprises(status, said) and _told(said) != _told(known):
            self.all.differences.append(f"the same key, another answer: {known} {said}")
        self.all.said["again"] += 1

    def _body(self, chance: random.Random, organizations: list[UUID]) -> dict[str, Any]:
        return {
            "organization": str(chance.choice(organizations)),
            "meter": chance.choice(METERS),
            "amount": chance.randint(1, LARGEST),
            "idempotency_key": f"{self.name}-{next(self.keys)}",
        }

    def _counted(
        self, verb: str, path: str, sent: Any, body: dict[str, Any], counts: int | None = None
    ) -> dict[str, Any]:
        """Asks, and keeps what was told. Of a commit the ledger may learn after we give up."""
        amount = body["amount"] if counts is None else counts
        try:
            status, said = self.line.ask("POST", f"{_USAGE}{path}", sent)
        except Unanswered:
            self._lost(body, amount)
            raise
        if self._surprises(status, said) or "event_id" not in said:
            return {}
        self._keep(verb, body, said, amount)
        return dict(said)

    def _keep(self, verb: str, body: dict[str, Any], said: dict[str, Any], amount: int) -> None:
        if said.get("event_id") is None:
            return
        self.all.said[verb if said["allowed"] else f"{verb} refused"] += 1
        delta = amount if said["allowed"] else 0
        organization, meter = body["organization"], said["meter"]
        sequence = int(said["event_id"].rpartition("-")[2])
        self.all.told.append(
            Told(UUID(organization), meter, sequence, verb, said["allowed"], delta)
        )
        known = self.counted[organization, meter]
        known.append((time.monotonic(), delta + (known[-1][1] if known else 0)))

    def _lost(self, body: dict[str, Any], amount: int) -> None:
        self.all.maybe.append((UUID(body["organization"]), body["meter"], amount))

    def _surprises(self, status: int, said: Any) -> bool:
        if status in ANSWERS and isinstance(said, dict):
            return False
        self.all.differences.append(f"a satellite was answered {status}: {str(said)[:300]}")
        return True


def _told(said: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(said.get(name) for name in ("allowed", "reason", "event_id", "used", "held"))
