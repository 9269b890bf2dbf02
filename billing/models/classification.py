"""What somebody decided an organization is, before its limits are enforced."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.grant import Grant
from orgs.models import Organization, User


class ClassificationQuerySet(models.QuerySet["Classification"]):
    def of_open_organizations(self) -> Self:
        return self.filter(organization__closed_at=None)


class Classification(models.Model):
    """One per organization; `grant` is the plan that was given with it, if any."""

    class Kind(models.TextChoices):
        STRIPE = "stripe", _("pays by Stripe")
        PILOT = "pilot", _("manual pilot")
        CONTRACT = "contract", _("contract")
        DEFAULT = "default", _("explicitly on the default plan")

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="classification"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    reason = models.CharField(max_length=500, blank=True)
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, null=True, related_name="+")
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    classified_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = ClassificationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["stripe", "pilot", "contract", "default"]),
                name="classification_kind",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.kind}"
