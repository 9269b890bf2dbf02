"""Where usage is going if it keeps its pace. Pure: numbers and instants in, numbers out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from quotas.engine.periods import Period

# Before a thirtieth of its period a pace is noise: one busy hour would promise a busy month.
_SHORTEST_SHARE = 1 / 30
# Nothing is foretold beyond this, in periods; a limit that is years away is not news.
_FARTHEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Projection:
    """`amount` at the end of the period; `reached_at` is when the limit is, None if it is not."""

    amount: int
    reached_at: datetime | None


def of_flow(used: int, period: Period, at: datetime, limit: int | None) -> Projection | None:
    """At the pace of the whole period so far; None while there is too little of it."""
    elapsed, length = at - period.start, period.end - period.start
    if not elapsed / length >= _SHORTEST_SHARE or at >= period.end:
        return None
    amount = max(ceil(used * (length / elapsed)), used)
    return Projection(amount, _reached(used, used / elapsed.total_seconds(), at, limit, period.end))


def of_level(
    used: int, gained: int, over: timedelta, until: datetime, at: datetime, limit: int | None
) -> Projection:
    """At the pace of the last `over`, up to `until`; never below zero."""
    pace = gained / over.total_seconds()
    amount = max(ceil(used + pace * max((until - at).total_seconds(), 0.0)), 0)
    return Projection(amount, _reached(used, pace, at, limit, at + _FARTHEST))


def _reached(
    used: int, pace: float, at: datetime, limit: int | None, until: datetime
) -> datetime | None:
    if limit is None or used >= limit or pace <= 0:
        return None
    seconds = (limit - used) / pace
    if seconds > (until - at).total_seconds():
        return None
    return at + timedelta(seconds=seconds)
