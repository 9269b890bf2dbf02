"""An organization as Stripe's customer, and the clock that its billing runs on."""

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from orgs.models import Organization


class BillingAccountQuerySet(models.QuerySet["BillingAccount"]):
    def for_stripe_customer(self, customer_id: str) -> Self:
        return self.filter(stripe_customer_id=customer_id)

    def without_customer(self) -> Self:
        """Those that need one made. Who gave theirs away gets another when they buy again."""
        return self.filter(
            stripe_customer_id=None,
            organization__closed_at=None,
            organization__customers_given=None,
        )

    def of_closed(self) -> Self:
        """Customers at Stripe of organizations that are closed."""
        return (
            self.filter(organization__closed_at__isnull=False, customer_deleted_at=None)
            .exclude(stripe_customer_id=None)
            .select_related("organization")
            .order_by("created_at")
        )


class BillingAccount(models.Model):
    """One per organization. Ours alone decides which organization a Stripe customer is (A21)."""

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="billing_account"
    )
    stripe_customer_id = models.CharField(max_length=64, unique=True, null=True)
    livemode = models.BooleanField(default=False)
    # One customer has one currency at Stripe once it has paid (B15).
    currency = models.CharField(max_length=3, blank=True)
    test_clock_id = models.CharField(max_length=64, blank=True)
    # The test clock's frozen instant, never an offset; only ever moves forward (DESIGN, Time).
    frozen_at = models.DateTimeField(null=True, blank=True)
    # Set when the customer was deleted at Stripe: a tombstone, so that nothing re-entitles it.
    customer_deleted_at = models.DateTimeField(null=True, blank=True)
    synced_at = models.DateTimeField(null=True, blank=True)
    # When a sweep last turned to it, successful or not: the sweeps' cursor.
    swept_at = models.DateTimeField(null=True, blank=True)
    # When an owner last asked for a sync by hand.
    sync_asked_at = models.DateTimeField(null=True, blank=True)
    # When name, billing address or language changed here, until Stripe knows of it.
    details_changed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = BillingAccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(stripe_customer_id=""),
                name="billing_account_customer_not_empty",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} ({self.stripe_customer_id or 'no customer'})"
