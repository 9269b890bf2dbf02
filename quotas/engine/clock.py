"""PostgreSQL's clock as this process last saw it: the host's own never matters (C16)."""

import time
from datetime import UTC, datetime


class _Offset:
    """Seconds between PostgreSQL's epoch time and this process's monotonic clock."""

    seconds: float = time.time() - time.monotonic()


def calibrate(database_now: datetime) -> None:
    _Offset.seconds = database_now.timestamp() - time.monotonic()


def now() -> datetime:
    """Behind by at most the time an answer of PostgreSQL takes."""
    return datetime.fromtimestamp(time.monotonic() + _Offset.seconds, tz=UTC)
