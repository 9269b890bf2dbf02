"""An owner's wish to buy, from the click to the settled session."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.plan import PlanPrice
from orgs.models import Organization, User


class CheckoutIntentQuerySet(models.QuerySet["CheckoutIntent"]):
    def of(self, organization: Organization) -> Self:
        """Those too that left it with its customer: their return pages name it still."""
        left = Q(organization__customers_received__source=organization)
        return self.filter(Q(organization=organization) | left).distinct()

    def open(self) -> Self:
        return self.filter(state=CheckoutIntent.State.OPEN)

    def overdue(self, now: datetime) -> Self:
        """Open here though Stripe's session has ended by its own clock."""
        return self.open().filter(expires_at__lte=now)


class CheckoutIntent(models.Model):
    """At most one open session per organization: a double click and two tabs meet here (B1, B2)."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        COMPLETED = "completed", _("Completed")
        EXPIRED = "expired", _("Expired")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="checkout_intents"
    )
    person = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    price = models.ForeignKey(PlanPrice, on_delete=models.PROTECT, related_name="+")
    seats = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    # Null between our commit and Stripe's answer; the idempotency key is made from this row's id.
    session_id = models.CharField(max_length=255, unique=True, null=True)
    url = models.URLField(max_length=2000, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = CheckoutIntentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(state="open"), name="checkout_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} wants {self.price_id} ({self.state})"
