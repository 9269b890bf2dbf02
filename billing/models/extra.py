"""What is sold beside a plan: metered overage, add-on packs, packs of prepaid units."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization, User


class StripeMeter(models.Model):
    """A meter of a catalogue as Stripe's Billing Meter, which adds up what we report."""

    catalog = models.SlugField(max_length=64)
    meter = models.SlugField(max_length=64)
    event_name = models.CharField(max_length=100)
    stripe_id = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["StripeMeter"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["catalog", "meter"], name="stripe_meter_one_each")
        ]

    def __str__(self) -> str:
        return f"{self.event_name} ({self.stripe_id})"


class ExtraPriceQuerySet(models.QuerySet["ExtraPrice"]):
    def of_catalog(self, catalog: str) -> Self:
        return self.filter(catalog=catalog)

    def on_sale(self) -> Self:
        return self.filter(archived_at=None)

    def purchasable(self) -> Self:
        return self.on_sale().exclude(stripe_price_id=None)

    def of_kind(self, kind: str) -> Self:
        return self.filter(kind=kind)

    def for_terms(self, interval: str, currency: str) -> Self:
        return self.filter(interval=interval, currency=currency.lower())

    def with_stripe_ids(self, stripe_price_ids: Any) -> Self:
        """Archived ones too: existing subscribers keep theirs."""
        return self.filter(stripe_price_id__in=stripe_price_ids)


class ExtraPrice(models.Model):
    """One price of one extra. Terms never change; other terms are another row."""

    class Kind(models.TextChoices):
        OVERAGE = "overage", _("Overage")
        ADDON = "addon", _("Add-on pack")
        CREDITS = "credits", _("Credit pack")

    catalog = models.SlugField(max_length=64)
    kind = models.CharField(max_length=8, choices=Kind)
    # The meter of an overage, else the pack's own key.
    key = models.SlugField(max_length=64)
    # An overage is priced by its plan; packs cost every plan the same.
    plan_key = models.SlugField(max_length=64, blank=True)
    # Empty for what is bought once.
    interval = models.CharField(max_length=5, blank=True)
    currency = models.CharField(max_length=3)
    # Minor units of one unit or pack; a unit of overage may cost a fraction.
    unit_amount = models.DecimalField(max_digits=27, decimal_places=12)
    # {meter, units, expires_after_days, priority} of a pack, {meter, rate, per} of an overage.
    terms = models.JSONField()
    lookup_key = models.CharField(max_length=200)
    stripe_product_id = models.CharField(max_length=255, null=True, blank=True)
    stripe_price_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    archived_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = ExtraPriceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["catalog", "kind", "key", "plan_key", "interval", "currency"],
                condition=Q(archived_at=None),
                name="extra_price_one_on_sale",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["overage", "addon", "credits"]), name="extra_price_kind"
            ),
            models.CheckConstraint(
                condition=Q(unit_amount__gte=0), name="extra_price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.lookup_key

    @property
    def meter(self) -> str:
        return str(self.terms["meter"])

    @property
    def units(self) -> int:
        """What one pack gives of its meter."""
        return int(self.terms.get("units", 0))


class PackPurchaseQuerySet(models.QuerySet["PackPurchase"]):
    def open(self) -> Self:
        return self.filter(state=PackPurchase.State.OPEN)

    def overdue(self, now: datetime) -> Self:
        """Open here though Stripe's session has ended by its own clock, or never got one."""
        return self.open().filter(Q(expires_at__lte=now) | Q(session_id=None))


class PackPurchase(models.Model):
    """A credit pack from the click to the paid session; paid once, credited once."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        PAID = "paid", _("Paid")
        EXPIRED = "expired", _("Expired")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="pack_purchases"
    )
    person = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    price = models.ForeignKey(ExtraPrice, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    # Null between our commit and Stripe's answer; the idempotency key is made from this row's id.
    session_id = models.CharField(max_length=255, unique=True, null=True)
    url = models.URLField(max_length=2000, blank=True)
    payment_intent_id = models.CharField(max_length=64, blank=True, db_index=True)
    amount_paid = models.BigIntegerField(default=0)
    amount_refunded = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    # The organization's own time: what was bought expires by that clock.
    paid_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = PackPurchaseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "price"],
                condition=Q(state="open"),
                name="pack_purchase_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} buys {self.price_id} ({self.state})"

    @property
    def units_kept(self) -> int:
        """A refund takes back its share of the units; all of them when all is refunded."""
        if self.amount_paid <= 0:
            return self.price.units
        kept = max(self.amount_paid - self.amount_refunded, 0)
        return self.price.units * kept // self.amount_paid
