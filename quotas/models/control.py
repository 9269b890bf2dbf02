"""What owners decide about usage, and the alerts that were sent."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


def default_thresholds() -> list[int]:
    return [75, 90, 100]


class UsageControl(models.Model):
    """Per meter that bills overage: keep going up to a cap, or stop at the included amount."""

    class Choice(models.TextChoices):
        BILL = "bill", _("keep going and bill extra, up to a cap")
        STOP = "stop", _("stop at the included amount")

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="usage_controls"
    )
    meter = models.SlugField(max_length=64)
    choice = models.CharField(max_length=4, choices=Choice)
    # Minor units of `currency` per usage period; null leaves the catalogue's cap.
    cap = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager["UsageControl"]] = models.Manager()

    class Meta:
        db_table = "usage_control"
        constraints = [
            models.UniqueConstraint(fields=["organization", "meter"], name="usage_control_once"),
            models.CheckConstraint(
                condition=Q(cap=None) | Q(cap__gte=0), name="usage_control_cap_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter}: {self.choice}"


class AlertSetting(models.Model):
    """The percentages of any quota at which owners and admins are told; empty for none."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="alert_setting"
    )
    thresholds = ArrayField(models.PositiveSmallIntegerField(), default=default_thresholds)

    class Meta:
        db_table = "usage_alert_setting"

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.thresholds}"


class Alert(models.Model):
    """A threshold that was crossed. The key lets it happen once per usage period."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="usage_alerts"
    )
    meter = models.SlugField(max_length=64)
    member = models.CharField(max_length=64, default="", blank=True)
    period_start = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField()
    used = models.BigIntegerField()
    allowance = models.BigIntegerField()
    crossed_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Alert"]] = models.Manager()

    class Meta:
        db_table = "usage_alert"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "meter", "member", "period_start", "threshold"],
                name="usage_alert_once_per_period",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter} {self.threshold}%"
