"""Troubles on request: late, failing, refused, and answers that never arrive."""

import random
from dataclasses import dataclass
from fnmatch import fnmatch

KINDS = ("timeout_after_processing", "http_404", "http_500", "http_429", "reset_connection", "slow",
         "late_answer", "partial_body")  # fmt: skip


@dataclass(kw_only=True)
class Fault:
    """What happens to the next `times` requests that match, or to a `share` of them."""

    kind: str
    method: str = "*"
    path: str = "*"
    times: int = 1
    seconds: float = 0.0
    share: float = 1.0

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and fnmatch(method, self.method) and fnmatch(path, self.path)


class Faults:
    """The troubles that wait for their requests."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self._chance = random.Random(0)  # noqa: S311 (repeatable on purpose)

    def add(self, fault: Fault) -> None:
        self.waiting.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """The trouble that this request meets, used up by one."""
        for fault in self.waiting:
            if fault.matches(method, path) and self._chance.random() < fault.share:
                fault.times -= 1
                self.waiting = [one for one in self.waiting if one.times > 0]
                return fault
        return None

    def clear(self) -> None:
        self.waiting.clear()
        self._chance.seed(0)
