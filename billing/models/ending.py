"""Subscriptions that we ended because they must not live, and the money that goes back."""

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.subscription import Invoice
from orgs.models import Organization


class EndingQuerySet(models.QuerySet["Ending"]):
    def with_refund(self) -> Self:
        return self.filter(refunds=True)


class Ending(models.Model):
    """Written before Stripe is asked to end it, so that a crash loses neither end nor refund."""

    class Why(models.TextChoices):
        DUPLICATE = "duplicate", _("Second subscription")
        CLOSED = "organization_closed", _("Organization closed")
        REFUNDED = "refunded", _("Payment returned")
        UNPAID = "unpaid", _("Not paid")
        TRIED_BEFORE = "tried_before", _("Card used for a trial before")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="endings")
    subscription_id = models.CharField(max_length=64, unique=True)
    why = models.CharField(max_length=20, choices=Why)
    # Whether what it charged goes back: it gave nothing that was not there already.
    refunds = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = EndingQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.subscription_id} ({self.why})"


class RefundQuerySet(models.QuerySet["Refund"]):
    def done(self) -> Self:
        return self.filter(done_at__isnull=False)


class Refund(models.Model):
    """One invoice that we pay back; one row each, so that no try pays back twice."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="refunds")
    invoice_id = models.CharField(max_length=64, unique=True)
    subscription_id = models.CharField(max_length=64)
    # Minor units that go back to the card, and credit that goes back to the balance.
    amount = models.BigIntegerField()
    credit = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    stripe_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)

    objects: ClassVar = RefundQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.invoice_id}: {self.amount} {self.currency}"

    @classmethod
    def of(cls, invoice: Invoice) -> Self:
        """What is left to give back of a paid invoice."""
        return cls(
            organization_id=invoice.organization_id,
            invoice_id=invoice.stripe_id,
            subscription_id=invoice.subscription_id,
            amount=invoice.amount_paid - invoice.amount_refunded,
            credit=max(0, invoice.total - invoice.amount_due),
            currency=invoice.currency,
        )
