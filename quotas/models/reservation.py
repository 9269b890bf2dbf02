"""A hold on part of an allowance."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


class Reservation(models.Model):
    """Open until exactly one end: committed, voided or expired.

    The number is the head's sequence, so that the public id names the organization too.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        COMMITTED = "committed", _("committed")
        VOIDED = "voided", _("voided")
        EXPIRED = "expired", _("expired")

    pk = models.CompositePrimaryKey("organization", "number")
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,  # every key leads with it
    )
    number = models.BigIntegerField()
    satellite_id = models.BigIntegerField()
    key = models.TextField()
    meter = models.TextField()
    member = models.TextField(default="")
    # The balance that holds it: the member's own where the limit is per member, else the shared.
    balance_member = models.TextField(default="")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    amount = models.BigIntegerField()
    expires_at = models.DateTimeField()
    state = models.TextField(choices=State, default=State.OPEN)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["Reservation"]] = models.Manager()

    class Meta:
        db_table = "usage_reservation"
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="usage_reservation_holds"),
            models.CheckConstraint(
                condition=Q(state="open", ended_at=None) | Q(ended_at__isnull=False),
                name="usage_reservation_ends_once",
            ),
        ]
        indexes = [
            models.Index(
                "organization",
                "meter",
                "balance_member",
                "period_start",
                "expires_at",
                condition=Q(state="open"),
                name="usage_reservation_open",
            ),
            models.Index("expires_at", condition=Q(state="open"), name="usage_reservation_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}/{self.number} {self.state}"
