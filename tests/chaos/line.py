"""One connection of one caller, who asks again until there is an answer."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

PAUSE_SECONDS: Final = 0.05
HASTY_PAUSE_SECONDS: Final = 0.5  # until whoever gave up turns to something else
PATIENCE_SECONDS: Final = 100  # longer than any part takes to come back
TIMEOUT_SECONDS: Final = 8.0
BUSY: Final = 503


class Unanswered(Exception):
    """Nobody knows what became of it."""


class Line:
    def __init__(self, port: int, headers: Mapping[str, str], *, patient: bool = True) -> None:
        self.port, self.headers, self.patient = port, headers, patient
        self.repeats: Counter[str] = Counter()  # why something was asked again
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and what was answered: JSON, else text. Raises Unanswered."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self._try(method, path, body)
            if found is not None:
                return found
            time.sleep(PAUSE_SECONDS if self.patient else HASTY_PAUSE_SECONDS)
            if not self.patient or time.monotonic() > until:
                raise Unanswered(f"{method} {path}")

    def _try(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        try:
            status, said = self._once(method, path, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.repeats[type(error).__name__] += 1
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return None
        if status == BUSY or (isinstance(said, dict) and _is_busy(said)):
            self.repeats["503"] += 1
            return None
        return status, said

    def _once(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=TIMEOUT_SECONDS
            )
        headers = {"Content-Type": "application/json", **self.headers}
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, json.loads(raw) if is_json else raw.decode(errors="replace")


def _is_busy(said: dict[str, Any]) -> bool:
    """Of a batch, each event has a status of its own."""
    results = said.get("results")
    return isinstance(results, list) and any(one.get("status") == BUSY for one in results)
