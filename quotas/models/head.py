"""The row that every decision about an organization locks first."""

from typing import ClassVar

from django.contrib.postgres.indexes import HashIndex
from django.db import models

from orgs.models import Organization


class QuotaHead(models.Model):
    """One per organization. Its lock orders decisions, period rolls, seat and plan changes.

    `access`, `plan`, `entitlement_sequence`, `frozen_at` and `valid_until` are copied from the
    effective plan whenever that changes, so that a decision reads no table of billing.
    """

    organization = models.OneToOneField(
        Organization,
        on_delete=models.DO_NOTHING,
        primary_key=True,
        related_name="quota_head",
        db_constraint=False,
    )
    # Grows with every decision; Redis refuses a reading with a lower one.
    sequence = models.BigIntegerField(default=0)
    # `sequence` when the limits were last derived: a reading of older limits is void.
    limits_sequence = models.BigIntegerField(default=0)
    # The organization's test clock, null for real time (DESIGN 3, Time).
    frozen_at = models.DateTimeField(null=True, blank=True)
    plan = models.TextField(default="")
    access = models.TextField(default="full")
    entitlement_sequence = models.BigIntegerField(default=0)
    # Past it the answer `rederive` replaces every decision.
    valid_until = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["QuotaHead"]] = models.Manager()

    class Meta:
        db_table = "quota_head"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(access__in=["full", "restricted", "read_only"]),
                name="quota_head_access",
            )
        ]
        # One page however many organizations there are; no decision changes what is in it.
        indexes = [HashIndex(fields=["organization"], name="quota_head_by_organization")]

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.sequence}"
