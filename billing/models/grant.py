"""A plan given without Stripe: override, pilot, contract, site-owner override, trial."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models.effective_plan import Source
from orgs.models import Organization, User


class GrantQuerySet(models.QuerySet["Grant"]):
    def in_force(self, now: datetime) -> Self:
        lasting = Q(ends_at=None) | Q(ends_at__gt=now)
        return self.filter(lasting, starts_at__lte=now, revoked_at=None)

    def standing(self, now: datetime) -> Self:
        """In force or still to begin."""
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=now), revoked_at=None)

    def ending(self, now: datetime, *, within: timedelta) -> Self:
        """In force, and over before long."""
        return self.in_force(now).filter(ends_at__lte=now + within)

    def over(self, now: datetime) -> Self:
        return self.filter(Q(ends_at__lte=now) | Q(revoked_at__isnull=False))


class Grant(models.Model):
    """Always with a reason and an author; ends by itself when it has an end."""

    SOURCES = (Source.SITE_OWNER, Source.CONTRACT, Source.MANUAL, Source.PILOT, Source.TRIAL)

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="grants")
    source = models.CharField(max_length=12, choices=[(s.value, s.label) for s in SOURCES])
    plan_key = models.CharField(max_length=64)
    seats = models.PositiveIntegerField(null=True, blank=True)
    # Limits of this organization alone: meter → amount, null for unlimited (contracts).
    limits = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    # PO number, payment terms, links to documents; never personal data.
    terms = models.JSONField(default=dict, blank=True)
    starts_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = GrantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")),
                name="grant_ends_after_it_starts",
            )
        ]

    def __str__(self) -> str:
        return f"{self.plan_key} by {self.source}"
