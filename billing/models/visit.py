"""Who looked at the plans: the first step of an upgrade."""

from typing import ClassVar

from django.db import models

from orgs.models import Organization


class PlansVisit(models.Model):
    """An organization without a subscription opened its plans page on that day (UTC)."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="plans_visits"
    )
    day = models.DateField()

    objects: ClassVar[models.Manager["PlansVisit"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "day"], name="plans_visit_once_a_day")
        ]
        indexes = [models.Index(fields=["day"], name="plans_visit_by_day")]

    def __str__(self) -> str:
        return f"{self.organization_id} on {self.day}"
