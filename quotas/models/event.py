"""The ledger of usage."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q, Sum
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


class Verb(models.TextChoices):
    CONSUME = "consume", _("consume")
    RECORD = "record", _("record")
    RELEASE = "release", _("release")
    LEVEL = "level", _("level")
    RESERVE = "reserve", _("reserve")
    COMMIT = "commit", _("commit")
    VOID = "void", _("void")


class UsageEventQuerySet(models.QuerySet["UsageEvent"]):
    def counted_for(self, organization: Organization, meter: str) -> Self:
        return self.filter(organization=organization, meter=meter)

    def since(self, start: datetime | None) -> Self:
        """None means from the beginning: a level never restarts."""
        return self if start is None else self.filter(recorded_at__gte=start)

    def quantity(self) -> int:
        total: int = self.aggregate(total=Sum("delta", default=0))["total"]
        return total


class UsageEvent(models.Model):
    """One answer to one line of one request. Append-only: a correction is another row.

    Partitioned by `month` of the recorded time, with a DEFAULT partition. Refusals are rows with
    delta 0, so that the same key gets the same answer. `line` counts the meters of a request from
    0; what ends a line (its release; commit or void of a hold) has the same key and line -1 - n.
    """

    pk = models.CompositePrimaryKey("organization", "satellite_id", "key", "line", "month")
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,  # every key leads with it
    )
    satellite_id = models.BigIntegerField()  # 0: our own process
    key = models.TextField()
    line = models.SmallIntegerField()
    month = models.DateField()
    sequence = models.BigIntegerField()  # the head's, after this row
    recorded_at = models.DateTimeField()
    occurred_at = models.DateTimeField()  # the organization's own time
    verb = models.TextField(choices=Verb)
    meter = models.TextField()
    member = models.TextField(default="")  # an opaque id, never a name
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    late = models.BooleanField(default=False)  # belongs to a period that was over
    amount = models.BigIntegerField()  # as requested
    # Whether the member's own balance counts it, as the limit was per member at that moment.
    per_member = models.BooleanField(db_default=False)
    delta = models.BigIntegerField()
    credited = models.BigIntegerField(default=0)
    billable = models.BigIntegerField(default=0)  # its share of the balance's overage
    accepted = models.BooleanField()
    reason = models.TextField(null=True)
    fingerprint = models.BigIntegerField()
    # The answer as given: used, held, … after this row.
    used = models.BigIntegerField()
    held = models.BigIntegerField()
    allowance = models.BigIntegerField(null=True)
    remaining = models.BigIntegerField(null=True)
    overage = models.BigIntegerField(default=0)
    plan = models.TextField()
    enforcement = models.TextField()
    dimensions = models.JSONField(null=True)

    objects: ClassVar = UsageEventQuerySet.as_manager()

    class Meta:
        db_table = "usage_event"
        constraints = [
            models.CheckConstraint(
                condition=Q(delta=0) | Q(accepted=True), name="usage_event_refused_counts_nothing"
            )
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.delta} {self.meter}"
