"""The periodic tasks of usage, their periods in seconds, and why those periods."""

from typing import Any, Final

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    # C45: charts and alerts are at most a minute behind the ledger.
    # C10: a hold whose caller died is shown as free within a minute of its expiry.
    "expire-holds": {"task": "quotas.tasks.expire_holds", "schedule": 60.0},
    # DESIGN 4.6: Stripe hears of billed units within a minute.
    "report-overage": {"task": "quotas.tasks.report_overage", "schedule": 30.0},
    # A missed month is caught by the DEFAULT partition; an hour leaves two months to notice.
    "keep-partitions": {"task": "quotas.tasks.keep_partitions", "schedule": 3600.0},
    # A notice is tried at once; those that were lost or are due again wait 20 s at most.
    "sweep-notices": {"task": "quotas.tasks.sweep_notices", "schedule": 20.0},
    # One mail a day at most; the hour makes up for a beat that was away.
    "tell-leads": {"task": "quotas.tasks.tell_leads", "schedule": 3600.0},
    # A switch of enforcement settles at once; this finishes what was interrupted.
    "settle-enforcement": {"task": "quotas.tasks.settle_enforcement", "schedule": 60.0},
    "roll-up-usage": {"task": "quotas.tasks.roll_up_usage", "schedule": 20.0},
}
