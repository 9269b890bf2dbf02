"""What the reconcile found to differ from Stripe, and what became of it."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


class ReconcileRun(models.Model):
    """One pass of the hourly reconcile; without an end it died or is under way."""

    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    undelivered = models.PositiveIntegerField(default=0)
    resynced = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    findings = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"


class DriftFinding(models.Model):
    """One difference, kept for people: the rows themselves were repaired where `repaired`."""

    class Kind(models.TextChoices):
        UNDELIVERED = "undelivered", _("Event that never arrived")
        STALE = "stale", _("Rows behind Stripe")
        DUPLICATE = "duplicate", _("Second subscription")
        CLOSED = "closed", _("Subscription of a closed organization")
        STRANGER = "stranger", _("Second customer of an organization")
        REFUND = "refund", _("Money that must be returned by hand")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, related_name="drift_findings"
    )
    kind = models.CharField(max_length=16, choices=Kind)
    # Stripe's id of what differed: an event, a customer, a subscription or an invoice.
    subject = models.CharField(max_length=255)
    # Field → [ours, Stripe's]; never personal data.
    detail = models.JSONField(default=dict)
    repaired = models.BooleanField()
    # What made us look: reconcile, sync, replay, an event id.
    cause = models.CharField(max_length=120)
    found_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = models.Manager()

    class Meta:
        indexes = [models.Index(F("found_at").desc(), name="drift_newest")]
        constraints = [
            # Told once: these are met again by every later event.
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=~Q(kind="stale"),
                name="drift_told_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
