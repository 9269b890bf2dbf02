"""The periodic tasks of usage, their periods in seconds, and why those periods."""

from typing import Any, Final

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    # C45: charts and alerts are at most a minute behind the ledger.
    "roll-up-usage": {"task": "quotas.tasks.roll_up_usage", "schedule": 20.0},
}
