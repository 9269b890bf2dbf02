"""Calendar arithmetic as Stripe's billing does it: months clamp to their end and come back."""

import calendar
from datetime import UTC, datetime

DAY = 86_400


def moment(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def add_months(timestamp: int, months: int, anchor: int | None = None) -> int:
    """Months later, on the anchor's day of the month or the last day a shorter month has."""
    start = moment(timestamp)
    index = start.month - 1 + months
    year, month = start.year + index // 12, index % 12 + 1
    day = moment(anchor).day if anchor is not None else start.day
    day = min(day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def add_interval(timestamp: int, recurring: dict[str, object], anchor: int | None = None) -> int:
    """The end of a billing period that starts at the given time."""
    count = int(str(recurring["interval_count"]))
    match recurring["interval"]:
        case "day":
            return timestamp + count * DAY
        case "week":
            return timestamp + count * 7 * DAY
        case "month":
            return add_months(timestamp, count, anchor)
        case _:
            return add_months(timestamp, 12 * count, anchor)
