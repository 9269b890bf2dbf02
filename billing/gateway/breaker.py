"""While Stripe is away, workers do not queue up behind its timeouts (A30).

Kept per process and in memory: forgetting it costs one more timeout, no more.
"""

import time
from typing import Final

FAILURES: Final = 3
REST_SECONDS: Final = 15.0


class _Breaker:
    failures = 0
    rests_until = 0.0


def is_open() -> bool:
    """Whether Stripe failed so often in a row that it is left alone for now."""
    return time.monotonic() < _Breaker.rests_until


def failed() -> None:
    """After the rest a single failure opens it again, because only an answer resets the count."""
    _Breaker.failures += 1
    if _Breaker.failures >= FAILURES:
        _Breaker.rests_until = time.monotonic() + REST_SECONDS


def answered() -> None:
    _Breaker.failures, _Breaker.rests_until = 0, 0.0
