"""Tasks by kind, so that each kind can have workers of its own. What is not named here is the rest.

A worker without `--queues` takes all of them. Nothing hangs on who takes what, or on how many.
"""

from typing import Any, Final

REST: Final = "celery"

_KINDS: Final[dict[str, tuple[str, ...]]] = {
    # Somebody has paid and waits for it.
    "webhooks": (
        "billing.tasks.process_customer",
        "billing.tasks.sweep_inbox",
        "billing.tasks.sweep_customers",
        "billing.tasks.create_customer",
    ),
    "mail": ("billing.tasks.deliver_outbox", "billing.tasks.announce_transitions"),
    # Sums over the ledger: few, long, and PostgreSQL's work more than the worker's.
    "rollups": (
        "quotas.tasks.roll_up_usage",
        "quotas.tasks.report_overage",
        "quotas.tasks.keep_partitions",
    ),
    # A receiver that is slow holds up a worker for seconds.
    "notices": ("quotas.tasks.deliver_notices", "quotas.tasks.sweep_notices"),
}

NAMES: Final = (REST, *_KINDS)
QUEUES: Final[dict[str, dict[str, Any]]] = {
    name: {"exchange": name, "routing_key": name} for name in NAMES
}
ROUTES: Final[dict[str, dict[str, Any]]] = {
    task: {"queue": kind} for kind, tasks in _KINDS.items() for task in tasks
}
