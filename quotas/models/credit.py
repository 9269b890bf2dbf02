"""Units paid in advance."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from orgs.models import Organization, User


class Credit(models.Model):
    """A pack of units of one flow. Burned after the allowance: lowest `priority` number first,
    then soonest expiry, then oldest."""

    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        related_name="credits",
        db_constraint=False,
    )
    meter = models.SlugField(max_length=64)
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField()
    priority = models.SmallIntegerField(default=100)
    starts_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500)
    # What bought it (a Stripe invoice), so that one payment credits once.
    reference = models.CharField(max_length=200, unique=True, null=True, blank=True)
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Credit"]] = models.Manager()

    class Meta:
        db_table = "usage_credit"
        constraints = [
            models.CheckConstraint(
                condition=Q(remaining__gte=0) & Q(remaining__lte=F("amount")) & Q(amount__gt=0),
                name="usage_credit_remaining_in_range",
            )
        ]
        indexes = [
            models.Index(
                fields=["organization", "meter"],
                condition=Q(remaining__gt=0),
                name="usage_credit_left",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter}: {self.remaining} of {self.amount}"
