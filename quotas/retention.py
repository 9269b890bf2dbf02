"""How long usage keeps notices and statistics. The ledger's months are quotas.engine.partitions."""

from datetime import datetime

from orgs import retention
from orgs.retention import Rule
from quotas.models import Lead, NoticeDelivery, Observation


def _notices(before: datetime, most: int) -> int:
    ended = NoticeDelivery.objects.exclude(state=NoticeDelivery.State.WAITING)
    return retention.delete(ended.filter(created_at__lt=before), most)


def register() -> None:
    retention.register(
        Rule(
            name="notices",
            what="what services were told, once it arrived or was given up",
            forget=_notices,
            days="notices",
        ),
        Rule(
            name="observations",
            what="refusals that were only observed, per day",
            forget=retention.older(Observation, "last_at"),
            days="statistics",
        ),
        Rule(
            name="leads",
            what="that an organization was about to need a larger plan",
            forget=retention.older(Lead, "found_at"),
            days="statistics",
        ),
    )
