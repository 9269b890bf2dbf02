"""Whether limits refuse: decided by people, per deployment, organization and meter."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models import Evidence
from orgs.models import Organization, User
from quotas.models.limit import Enforcement


class EnforcementSwitchQuerySet(models.QuerySet["EnforcementSwitch"]):
    def standing(self) -> Self:
        return self.filter(undone_at=None)

    def concerning(self, organization: Organization) -> Self:
        return self.filter(Q(organization=None) | Q(organization=organization))

    def in_order(self) -> Self:
        """The newest of a scope, which holds, comes last."""
        return self.order_by("at", "pk")


class EnforcementSwitch(models.Model):
    """One act. The newest of its scope that is not undone holds; what it covers waits below.

    Without an organization it is for the whole deployment, without a subject for every meter and
    feature. The organization's own switch wins over the deployment's, a subject's over all.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    # A meter or a feature of the catalogue.
    subject = models.SlugField(max_length=64, blank=True)
    mode = models.CharField(max_length=8, choices=Enforcement)
    reason = models.CharField(max_length=500)
    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, null=True, related_name="+")
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(db_default=Now())
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    # When every limit that it concerns was derived again; null while that is under way.
    settled_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = EnforcementSwitchQuerySet.as_manager()

    class Meta:
        db_table = "enforcement_switch"
        constraints = [
            models.CheckConstraint(
                condition=Q(mode__in=Enforcement.values), name="enforcement_switch_mode"
            ),
            models.CheckConstraint(
                condition=~Q(mode="enforce") | Q(evidence__isnull=False),
                name="enforcement_switch_enforces_on_evidence",
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization"], condition=Q(undone_at=None), name="enforcement_standing"
            )
        ]

    def __str__(self) -> str:
        scope = self.organization.slug if self.organization else _("deployment")
        return f"{scope}{', ' if self.subject else ''}{self.subject}: {self.mode}"


class Observation(models.Model):
    """Refusals that observe mode let pass and that no row of the ledger tells: authorize, features,
    seats. One row per organization, subject, reason and day (UTC)."""

    class Source(models.TextChoices):
        AUTHORIZE = "authorize", _("authorize")
        FEATURE = "feature", _("feature")
        SEAT = "seat", _("seat")

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    source = models.CharField(max_length=9, choices=Source)
    subject = models.SlugField(max_length=64)
    reason = models.CharField(max_length=40)
    day = models.DateField()
    calls = models.BigIntegerField(default=1)
    amount = models.BigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Observation"]] = models.Manager()

    class Meta:
        db_table = "enforcement_observation"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "source", "subject", "reason", "day"],
                name="enforcement_observation_once_a_day",
            )
        ]
        indexes = [models.Index(fields=["day"], name="enforcement_observation_by_day")]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.subject}: {self.calls}"
