"""The writer for an event loop: callers await; one wake-up delivers all that a batch finished."""

import asyncio
import time
from collections import deque
from typing import Final

from quotas.engine import writer
from quotas.engine.lane import LONGEST_WAIT_SECONDS, Call
from quotas.engine.ledger import Rows
from quotas.engine.writer import Requests, lines_of

_LOOK_SECONDS: Final = 0.5  # how often callers that have waited too long are looked for

Delivered = asyncio.Future[list[Rows]]


class _Awaited(Call[Requests, list[Rows]]):
    """Finished in the writer's thread, delivered in the loop's."""

    __slots__ = ("delivered", "exchange")

    def __init__(self, requests: Requests, exchange: "Exchange", delivered: Delivered) -> None:
        self.asked = requests
        self.size = lines_of(requests)
        self.answer = None
        self.error = None
        self.started = False
        self._abandoned = False
        self.exchange = exchange
        self.delivered = delivered

    def finish(self, answer: list[Rows]) -> None:
        self.answer = answer
        self.exchange.hand_over(self)

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.exchange.hand_over(self)


class Exchange:
    """Between the writer's thread and one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._finished: deque[_Awaited] = deque()
        self._is_called = False
        self._waiting: deque[tuple[float, _Awaited]] = deque()
        self._looks = False

    def decide(self, requests: Requests) -> Delivered:
        """Decided and durable when it is done. Raises Busy; fails as `writer.submit` does."""
        delivered: Delivered = self._loop.create_future()
        call = _Awaited(requests, self, delivered)
        writer.begin(call)
        self._waiting.append((time.monotonic() + LONGEST_WAIT_SECONDS, call))
        if not self._looks:
            self._looks = True
            self._loop.call_later(_LOOK_SECONDS, self._look)
        return delivered

    def hand_over(self, call: _Awaited) -> None:
        """From the writer's thread. The loop is woken once for all that finish together."""
        self._finished.append(call)
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False  # before looking: what is appended from now on calls again
        while self._finished:
            call = self._finished.popleft()
            if call.delivered.done():
                continue
            if call.error is not None:
                call.delivered.set_exception(call.error)
            elif call.answer is not None:
                call.delivered.set_result(call.answer)

    def _look(self) -> None:
        """All wait equally long, so the oldest stand first."""
        now = time.monotonic()
        while self._waiting:
            until, call = self._waiting[0]
            if not call.delivered.done():
                if until > now:
                    break
                call.delivered.set_exception(call.give_up())
            self._waiting.popleft()
        self._looks = bool(self._waiting)
        if self._looks:
            self._loop.call_later(_LOOK_SECONDS, self._look)
