"""Sums of the ledger for charts and breakdowns."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


class Rollup(models.Model):
    """One hour or day (UTC) of one organization, meter, usage period, member, satellite, dimension.

    Derived: recomputed from the ledger as a whole, so that late rows cannot be missed. An hour in
    which a usage period ends has rows of both, so that sums over a period equal its balance.
    `dimension` is empty for the sum, else `key=value`.
    """

    class Grain(models.TextChoices):
        HOUR = "hour", _("hour")
        DAY = "day", _("day")

    pk = models.CompositePrimaryKey(
        "organization",
        "grain",
        "meter",
        "bucket",
        "period_start",
        "member",
        "satellite_id",
        "dimension",
    )
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,  # every key leads with it
    )
    grain = models.TextField(choices=Grain)
    meter = models.TextField()
    bucket = models.DateTimeField()
    period_start = models.DateTimeField()
    member = models.TextField(default="")
    satellite_id = models.BigIntegerField(default=0)
    dimension = models.TextField(default="")
    added = models.BigIntegerField()
    removed = models.BigIntegerField()
    events = models.BigIntegerField()
    refused = models.BigIntegerField()

    objects: ClassVar[models.Manager["Rollup"]] = models.Manager()

    class Meta:
        db_table = "usage_rollup"

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter} {self.bucket}"


class RollupMark(models.Model):
    """How far the roll-ups of this installation are: everything recorded before it is in them."""

    name = models.CharField(max_length=40, primary_key=True)
    recorded_until = models.DateTimeField()

    class Meta:
        db_table = "usage_rollup_mark"

    def __str__(self) -> str:
        return f"{self.name} until {self.recorded_until}"
