"""A founder's Stripe customer on its way from them to the organization that they founded."""

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from orgs.models import Organization, User


class CustomerTransferQuerySet(models.QuerySet["CustomerTransfer"]):
    def untold(self) -> Self:
        """Stripe's metadata still names the former organization."""
        return self.filter(told_at=None)

    def of_customer(self, customer_id: str) -> Self:
        return self.filter(customer_id=customer_id)


class CustomerTransfer(models.Model):
    """One move, kept for good: an event made before it may arrive long after it."""

    customer_id = models.CharField(max_length=64)
    source = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="customers_given"
    )
    target = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="customers_received"
    )
    founder = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    moved_at = models.DateTimeField(db_default=Now())
    told_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = CustomerTransferQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["customer_id"], name="customer_transfer_by_customer"),
            models.Index(
                fields=["id"],
                condition=models.Q(told_at=None),
                name="customer_transfer_untold",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id}: {self.source_id} to {self.target_id}"
