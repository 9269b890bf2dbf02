"""A thread that collects what is waiting and handles it in one go. No timer: an idle lane answers
at once, a busy one in larger batches."""

import os
import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import structlog

from orgs.exceptions import DomainError
from quotas.engine.session import Session, is_lost
from quotas.exceptions import Busy, EngineUnavailable, OutcomeUnknown

logger = structlog.get_logger(__name__)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

LONGEST_WAIT_SECONDS = 5.0
_RETRY_AFTER = {"Retry-After": "1"}


class WouldWait(Exception):
    """Asked in a thread that must never wait."""


_never_waiting: set[int] = set()


def never_wait_here() -> None:
    """For the thread of an event loop: from now on `ask` raises WouldWait in it."""
    _never_waiting.add(threading.get_ident())


class Call(Generic[Asked, Answer]):
    """One caller that waits. Either side may be first to give up; nothing is applied twice."""

    __slots__ = ("_abandoned", "_done", "answer", "asked", "error", "size", "started")

    def __init__(self, asked: Asked, size: int = 1) -> None:
        self.asked = asked
        self.size = size
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.started = False
        self._abandoned = False
        self._done = threading.Lock()
        self._done.acquire()

    def start(self) -> bool:
        """False when the caller gave up first: then it was told that nothing happened."""
        self.started = True
        return not self._abandoned

    def finish(self, answer: Answer) -> None:
        self.answer = answer
        self._done.release()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self._done.release()

    def give_up(self) -> DomainError:
        """For a caller that waits no longer: whether anything may have happened."""
        # Set before `started` is read, as `start` does it the other way round.
        self._abandoned = True
        return unknown() if self.started else busy("The engine is too busy; nothing was applied.")

    @property
    def is_over(self) -> bool:
        return self.answer is not None or self.error is not None

    def wait(self, seconds: float) -> Answer:
        if not self._done.acquire(timeout=seconds):
            raise self.give_up()
        if self.error is not None:
            raise self.error
        assert self.answer is not None  # noqa: S101  finished without an error
        return self.answer


class Lane(Generic[Asked, Answer]):
    """Starts its thread at the first call, and again in a forked child."""

    def __init__(
        self,
        name: str,
        handle: Callable[[Session, list[Call[Asked, Answer]]], None],
        *,
        most_waiting: int = 2_000,
        most_at_once: int = 1_000,
    ) -> None:
        self._name = name
        self._handle = handle
        self._most_waiting = most_waiting
        self._most_at_once = most_at_once
        self._starting = threading.Lock()
        self._queue: SimpleQueue[Call[Asked, Answer] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._session = Session(name)
        _lanes.add(self)

    def ask(self, asked: Asked, *, size: int = 1, seconds: float = LONGEST_WAIT_SECONDS) -> Answer:
        """Waits for the answer. Raises Busy, OutcomeUnknown, what the handler failed with, or
        WouldWait."""
        if threading.get_ident() in _never_waiting:
            raise WouldWait
        return self.put(Call(asked, size)).wait(seconds)

    def put(self, call: Call[Asked, Answer]) -> Call[Asked, Answer]:
        """Raises Busy where too many wait already."""
        if self._thread is None or not self._thread.is_alive():
            self._start()
        if self._queue.qsize() >= self._most_waiting:
            raise busy("Too many requests are waiting; nothing was applied.")
        self._queue.put(call)
        return call

    def stop(self) -> None:
        """Answers what is waiting, then ends the thread and closes its connection."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join()
        self._session.close()

    def after_fork(self) -> None:
        """A child has neither the thread nor the right to the connection."""
        if (inherited := self._session.abandon()) is not None:
            _inherited.append(inherited)
        self._starting = threading.Lock()
        self._queue = SimpleQueue()
        self._thread = None
        self._session = Session(self._name)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, args=(self._queue,), name=f"quotas-{self._name}", daemon=True
                )
                self._thread.start()

    def _run(self, queue: "SimpleQueue[Call[Asked, Answer] | None]") -> None:
        while (call := queue.get()) is not None:
            calls, more = self._collect(call, queue)
            self._serve([waiting for waiting in calls if waiting.start()])
            if not more:
                return

    def _collect(
        self, first: Call[Asked, Answer], queue: "SimpleQueue[Call[Asked, Answer] | None]"
    ) -> tuple[list[Call[Asked, Answer]], bool]:
        calls, size = [first], first.size
        while size < self._most_at_once:
            try:
                call = queue.get_nowait()
            except Empty:
                break
            if call is None:
                return calls, False
            calls.append(call)
            size += call.size
        return calls, True

    def _serve(self, calls: list[Call[Asked, Answer]]) -> None:
        """The thread survives every error: a dead lane would stop its process from deciding."""
        if not calls:
            return
        try:
            self._handle(self._session, calls)
        except BaseException as error:  # every waiting caller must be told
            logger.exception("quotas.lane_failed", lane=self._name)
            told = unavailable() if is_lost(error) else error
            for call in calls:
                if not call.is_over:
                    call.fail(told)


def busy(sentence: str) -> Busy:
    return Busy(sentence, headers=_RETRY_AFTER)


def unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "The outcome is not known. Send the same key again to learn it.", headers=_RETRY_AFTER
    )


def unavailable() -> EngineUnavailable:
    return EngineUnavailable("Usage cannot be decided right now.", headers=_RETRY_AFTER)


_lanes: "weakref.WeakSet[Lane[Any, Any]]" = weakref.WeakSet()
_inherited: list[object] = []  # kept, so that no destructor touches the parent's sockets


def _after_fork() -> None:
    _never_waiting.clear()
    for lane in list(_lanes):
        lane.after_fork()


def stop_all() -> None:
    """For a process that is about to end, and for tests that drop their database."""
    for lane in list(_lanes):
        lane.stop()


os.register_at_fork(after_in_child=_after_fork)
