"""Organizations that are about to need a larger plan."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from orgs.models import Organization


class Lead(models.Model):
    """Sales were told of it: once per organization, meter and usage period."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    meter = models.SlugField(max_length=64)
    period_start = models.DateTimeField()
    percent = models.PositiveIntegerField()  # projected, of the limit
    found_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Lead"]] = models.Manager()

    class Meta:
        db_table = "usage_lead"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "meter", "period_start"], name="usage_lead_once_a_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter}: {self.percent}%"
