"""Callers over HTTP that write down every answer they were given, as satellites would."""

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

METER = "ai_queries"
LARGEST = 3
TIMEOUT_SECONDS = 8
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 90  # longer than any part takes to come back
ANSWERS = frozenset({200, 403, 429})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as often as it was sent."""

    organization: UUID
    key: str
    amount: int


@dataclass(frozen=True, slots=True)
class Answered:
    allowed: bool
    event_id: str
    used: int


class Callers:
    """Most send a key again until there is an answer, to the next server if there are several;
    every fourth gives up at the first failure, and never learns what became of it."""

    def __init__(
        self,
        ports: Sequence[int],
        secret: str,
        organizations: Sequence[UUID],
        *,
        number: int,
        hasty: int = 4,
    ) -> None:
        self.ports, self.secret, self.organizations = ports, secret, organizations
        self.hasty = hasty  # every so many gives up; 0 for none
        self.answers: dict[Asked, Answered] = {}
        self.unknown: list[Asked] = []
        self.surprises: list[str] = []
        self.repeats: list[str] = []  # why a key was sent again
        self.slowest = 0.0  # seconds until a decision was known
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(number)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def ask_again(self, asked: Asked) -> Answered | None:
        return _Caller(self, patient=True).ask(asked)

    def _run(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 (load, no secret)
        caller = _Caller(self, patient=not self.hasty or number % self.hasty != 0)
        caller.server = number
        for n in count():
            if self._over.is_set():
                return
            organization = chance.choice(self.organizations)
            asked = Asked(organization, f"{number}-{n}", chance.randint(1, LARGEST))
            began = time.monotonic()
            answer = caller.ask(asked)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer is None:
                self.unknown.append(asked)
            else:
                self.answers[asked] = answer


class _Caller:
    def __init__(self, callers: Callers, *, patient: bool) -> None:
        self.callers, self.patient = callers, patient
        self.connection: http.client.HTTPConnection | None = None
        self.server = 0

    def ask(self, asked: Asked) -> Answered | None:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._try(asked)
            if answer is not None:
                return answer
            if not self.patient or time.monotonic() > until:
                return None
            time.sleep(PAUSE_SECONDS)

    def _try(self, asked: Asked) -> Answered | None:
        try:
            status, body = self._post(asked)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.callers.repeats.append(type(error).__name__)
            self._hang_up()
            return None
        if status in ANSWERS:
            return Answered(body["allowed"], body["event_id"], body["used"])
        self.callers.repeats.append(str(status))
        if status != 503:
            self.callers.surprises.append(f"{status} {body}")
        return None

    def _post(self, asked: Asked) -> tuple[int, dict]:
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1",
                self.callers.ports[self.server % len(self.callers.ports)],
                timeout=TIMEOUT_SECONDS,
            )
        body = {
            "organization": str(asked.organization),
            "meter": METER,
            "amount": asked.amount,
            "idempotency_key": asked.key,
        }
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.callers.secret}",
        }
        self.connection.request("POST", "/api/v1/usage/consume", json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def _hang_up(self) -> None:
        self.server += 1
        if self.connection is not None:
            self.connection.close()
            self.connection = None
