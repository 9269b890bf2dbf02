"""Our own rows for what Stripe sold: subscription, invoice, payment method.

Derived from the mirror on every sync and never edited; pages and decisions read these alone.
"""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization

ENDED_STATUSES = ("canceled", "incomplete_expired")


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def live(self) -> Self:
        """Everything that Stripe has not ended, `incomplete` included."""
        return self.exclude(status__in=ENDED_STATUSES)

    def standing(self) -> Self:
        """Live and past its first payment attempt: there may be one per organization."""
        return self.live().exclude(status="incomplete")


class Subscription(models.Model):
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="subscriptions"
    )
    stripe_id = models.CharField(max_length=64, unique=True)
    customer_id = models.CharField(max_length=64)
    status = models.CharField(max_length=24)
    livemode = models.BooleanField()
    currency = models.CharField(max_length=3)
    interval = models.CharField(max_length=5, blank=True)
    # The base item's price; `items` has them all: [{id, price, quantity, metered}].
    price_id = models.CharField(max_length=64, blank=True)
    quantity = models.PositiveIntegerField(default=1)
    items = models.JSONField(default=list)
    collection_method = models.CharField(max_length=24, default="charge_automatically")
    paused = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    current_period_start = models.DateTimeField(null=True)
    current_period_end = models.DateTimeField(null=True)
    cancel_at_period_end = models.BooleanField(default=False)
    cancel_at = models.DateTimeField(null=True)
    canceled_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    trial_end = models.DateTimeField(null=True)
    default_payment_method_id = models.CharField(max_length=64, blank=True)
    # Each with id, code, coupon, percent_off, amount_off, currency, once, starts_at and ends_at.
    discounts = models.JSONField(default=list)
    # What a schedule at Stripe makes of it next: {schedule, at, price, quantity}; else empty.
    scheduled = models.JSONField(default=dict)
    # The invoice of a change that waits for its payment: nothing of it is given, or owed, yet.
    pending_invoice_id = models.CharField(max_length=64, blank=True)

    objects: ClassVar = SubscriptionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "status"], name="subscription_by_org")]

    def __str__(self) -> str:
        return f"{self.stripe_id} ({self.status})"

    @property
    def ends_at(self) -> datetime | None:
        """When a decision already taken ends it; the portal may set either field."""
        if self.cancel_at is not None:
            return self.cancel_at
        return self.current_period_end if self.cancel_at_period_end else None


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def issued(self) -> Self:
        """What a customer may see: drafts are not documents yet."""
        return self.exclude(status="draft")

    def newest_first(self) -> Self:
        """Of one instant (a frozen clock) the higher number is the newer."""
        return self.order_by(F("created_at").desc(), F("number").desc(), F("stripe_id").desc())


class Invoice(models.Model):
    """Amounts are integer minor units of `currency`."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        OPEN = "open", _("Open")
        PAID = "paid", _("Paid")
        VOID = "void", _("Void")
        UNCOLLECTIBLE = "uncollectible", _("Uncollectible")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="invoices"
    )
    stripe_id = models.CharField(max_length=64, unique=True)
    customer_id = models.CharField(max_length=64)
    subscription_id = models.CharField(max_length=64, blank=True)
    payment_intent_id = models.CharField(max_length=64, blank=True, db_index=True)
    number = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=Status)
    billing_reason = models.CharField(max_length=40, blank=True)
    collection_method = models.CharField(max_length=24, default="charge_automatically")
    currency = models.CharField(max_length=3)
    subtotal = models.BigIntegerField()
    tax = models.BigIntegerField(default=0)
    total = models.BigIntegerField()
    amount_due = models.BigIntegerField()
    amount_paid = models.BigIntegerField()
    amount_remaining = models.BigIntegerField()
    amount_refunded = models.BigIntegerField(default=0)
    # What it covers, in Stripe's own line descriptions: [{description, amount, quantity, …}].
    lines = models.JSONField(default=list)
    created_at = models.DateTimeField()
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    finalized_at = models.DateTimeField(null=True)
    due_date = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    attempt_count = models.PositiveIntegerField(default=0)
    next_payment_attempt = models.DateTimeField(null=True)
    hosted_url = models.URLField(max_length=1000, blank=True)
    pdf_url = models.URLField(max_length=1000, blank=True)
    disputed = models.BooleanField(default=False)
    # Stripe's word for the gravest dispute about it; empty where nobody disputed.
    dispute_status = models.CharField(max_length=32, blank=True)
    # When staff settled a lost dispute: from then on it restricts nothing.
    dispute_settled_at = models.DateTimeField(null=True, blank=True)
    # The bank wants its customer to confirm the payment (3-D Secure).
    needs_confirmation = models.BooleanField(default=False)

    objects: ClassVar = InvoiceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index("organization", F("created_at").desc(), name="invoice_by_org"),
            models.Index(
                fields=["organization"], condition=Q(status="open"), name="invoice_open_by_org"
            ),
        ]

    def __str__(self) -> str:
        return self.number or self.stripe_id


class PaymentMethod(models.Model):
    """What Stripe shows of a card or bank account: brand and last digits, never the number."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="payment_methods"
    )
    stripe_id = models.CharField(max_length=64, unique=True)
    customer_id = models.CharField(max_length=64)
    type = models.CharField(max_length=40)
    brand = models.CharField(max_length=40, blank=True)
    last4 = models.CharField(max_length=8, blank=True)
    exp_month = models.PositiveSmallIntegerField(null=True)
    exp_year = models.PositiveSmallIntegerField(null=True)
    # Stands for the card, whoever adds it; not its number and not Stripe's fingerprint of it.
    card_mark = models.CharField(max_length=64, blank=True)
    is_default = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.brand or self.type} ending in {self.last4}"
