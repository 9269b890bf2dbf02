"""Threads that act all the time, and can be told to hold still for a while."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tests.chaos.line import Unanswered

HOLD_STILL_SECONDS: Final = 120  # longer than the longest act: a caller that asks again and again

Act = Callable[[random.Random], None]


class Crowd:
    """Each act runs in a thread of its own, again and again, with a pause in between."""

    def __init__(self, name: str, acts: list[Act], *, pause: float) -> None:
        self.pause = pause
        self.surprises: list[str] = []
        self._over = threading.Event()
        self._still = False
        self._changed = threading.Condition()
        self._acting = 0
        self._threads = [
            threading.Thread(target=self._run, args=(act, n), name=f"{name} {n}")
            for n, act in enumerate(acts)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Everybody has ended what they were at, and nobody begins anything."""
        with self._changed:
            self._still = True
            if not self._changed.wait_for(lambda: not self._acting, HOLD_STILL_SECONDS):
                raise TimeoutError("somebody does not end")
        try:
            yield
        finally:
            self._still = False

    def _run(self, act: Act, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 (load, no secret)
        while not self._over.is_set():
            if self._begin():
                try:
                    act(chance)
                except Unanswered:
                    pass  # gave up; whoever asks keeps the books
                except Exception as surprise:  # noqa: BLE001  a bug of a caller ends the run
                    self.surprises.append(f"{type(surprise).__name__}: {surprise}")
                finally:
                    self._end()
            time.sleep(self.pause * chance.uniform(0.5, 1.5))

    def _begin(self) -> bool:
        with self._changed:
            if self._still:
                return False
            self._acting += 1
            return True

    def _end(self) -> None:
        with self._changed:
            self._acting -= 1
            self._changed.notify_all()
