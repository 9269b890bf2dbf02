"""Every periodic task, its period in seconds, and why that period."""

from typing import Any, Final

from quotas.schedule import SCHEDULE as QUOTAS

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    # `/readyz` calls beat silent after three minutes.
    "beat": {"task": "billing.tasks.beat", "schedule": 30.0},
    # DESIGN, Money in: claimed-and-dead rows are retried within 60 s.
    "sweep-inbox": {"task": "billing.tasks.sweep_inbox", "schedule": 20.0},
    "sweep-customers": {"task": "billing.tasks.sweep_customers", "schedule": 60.0},
    # People notice a receipt that takes longer.
    "deliver-outbox": {"task": "billing.tasks.deliver_outbox", "schedule": 10.0},
    "settle-expired-checkouts": {
        "task": "billing.tasks.settle_expired_checkouts",
        "schedule": 600.0,
    },
    # A pack whose webhook was lost is credited soon after all.
    "settle-packs": {"task": "billing.tasks.settle_packs", "schedule": 300.0},
    # A lock or a trial's end is true without it; people hear of it within a minute.
    "announce-transitions": {"task": "billing.tasks.announce_transitions", "schedule": 60.0},
    "end-unpaid-subscriptions": {
        "task": "billing.tasks.end_unpaid_subscriptions",
        "schedule": 600.0,
    },
    "delete-closed-customers": {
        "task": "billing.tasks.delete_closed_customers",
        "schedule": 600.0,
    },
    # Days of grace come first; what is half done goes on within minutes.
    "carry-out-deletions": {"task": "billing.tasks.carry_out_deletions", "schedule": 300.0},
    # Somebody watches the progress of their archive.
    "sweep-exports": {"task": "billing.tasks.sweep_exports", "schedule": 60.0},
    # docs/privacy.md counts in days.
    "enforce-retention": {"task": "billing.tasks.enforce_retention", "schedule": 3600.0},
    # F3: a licence that ended, came, went, or a clock that was turned back.
    "check-licence": {"task": "billing.tasks.check_licence", "schedule": 3600.0},
    # DESIGN, Money in: an hourly reconcile.
    "reconcile": {"task": "billing.tasks.reconcile_hourly", "schedule": 3600.0},
    **QUOTAS,
}
