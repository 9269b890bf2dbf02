"""Many at once: threads that start together, each on its own database connection."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

Result = TypeVar("Result")


def at_once(times: int, act: Callable[[int], Result]) -> list[Result]:
    """`act(0)` to `act(times - 1)`, none of them before all are ready; raises what one raised."""
    ready = threading.Barrier(times)

    def run(number: int) -> Result:
        ready.wait(timeout=10)
        return _with_own_connection(lambda: act(number))

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


def in_parallel(workers: int, acts: Sequence[Callable[[], Result]]) -> list[Result]:
    """All of them, at most `workers` at a time."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(_with_own_connection, acts))


def _with_own_connection(act: Callable[[], Result]) -> Result:
    try:
        return act()
    finally:
        connection.close()
