"""What an organization has used of a meter in one usage period."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs.models import Organization


class Balance(models.Model):
    """checkpoint + the sum of the retained ledger = used, at every commit.

    `member` is empty unless the limit is per member. It carries no limit: a plan change
    rewrites no balance.
    """

    pk = models.CompositePrimaryKey("organization", "meter", "member", "period_start")
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,  # every key leads with it
    )
    meter = models.TextField()
    member = models.TextField(default="")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    used = models.BigIntegerField(default=0)
    # The sum of open reservations.
    held = models.BigIntegerField(default=0)
    # How much of `used` was paid with credits.
    credited = models.BigIntegerField(default=0)
    # Units of a flow beyond allowance and credits, each counted once, at the limit of its moment.
    overage = models.BigIntegerField(default=0)
    # What dropped ledger partitions had added up to.
    checkpoint = models.BigIntegerField(default=0)
    # For levels: the satellite's own instant of the last reported value.
    observed_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Balance"]] = models.Manager()

    class Meta:
        db_table = "plan_usage"
        constraints = [
            models.CheckConstraint(condition=Q(used__gte=0), name="plan_usage_used_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="plan_usage_held_not_negative"),
            models.CheckConstraint(
                condition=Q(overage__gte=0), name="plan_usage_overage_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(credited__gte=0) & Q(credited__lte=models.F("used")),
                name="plan_usage_credited_is_part_of_used",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter} {self.used}"
