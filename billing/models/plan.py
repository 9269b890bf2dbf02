"""What is sold. The catalogue file owns these rows; `manage.py catalog apply` writes them."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

LARGEST_AMOUNT = 10**15  # of any usage; DESIGN 1


class SubscriptionPlanQuerySet(models.QuerySet["SubscriptionPlan"]):
    def of_catalog(self, catalog: str) -> Self:
        return self.filter(catalog=catalog)

    def on_sale(self) -> Self:
        """Archived versions keep their subscribers but take no new ones."""
        return self.filter(archived_at=None)

    def with_key(self, key: str) -> Self:
        return self.filter(key=key)

    def with_price_id(self, stripe_price_id: str) -> Self:
        """Archived plans and prices too: existing subscribers keep theirs."""
        return self.filter(prices__stripe_price_id=stripe_price_id)

    def in_order(self) -> Self:
        return self.order_by("catalog", "position", "key", "-version")

    def with_terms(self) -> Self:
        return self.prefetch_related("prices", "limits")


class SubscriptionPlan(models.Model):
    """One version of a plan. A changed amount makes the next; subscribers stay on theirs."""

    class Kind(models.TextChoices):
        FREE = "free", _("Free")
        PAID = "paid", _("Paid")
        CONTRACT = "contract", _("By contract")

    catalog = models.SlugField(max_length=64)
    key = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    position = models.PositiveSmallIntegerField()
    # Locale → {"name", "summary"}.
    texts = models.JSONField(default=dict)
    kind = models.CharField(max_length=10, choices=Kind)
    per_seat = models.BooleanField(default=False)
    min_seats = models.PositiveIntegerField(default=1)
    max_seats = models.PositiveIntegerField(null=True, blank=True, default=1)
    # Feature key → "available" or "planned"; a feature that is not named is not in the plan.
    features = models.JSONField(default=dict)
    # The validated entry of the catalogue, as it was when this version was applied.
    data = models.JSONField(default=dict)
    # Versions of one plan share a Stripe product, so the id is not unique.
    stripe_product_id = models.CharField(max_length=255, null=True, blank=True, db_index=True)
    created_at = models.DateTimeField(db_default=Now())
    archived_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = SubscriptionPlanQuerySet.as_manager()

    class Meta:
        db_table = "subscription_plans"
        constraints = [
            models.UniqueConstraint(
                fields=["catalog", "key", "version"], name="subscription_plan_version_once"
            ),
            models.UniqueConstraint(
                fields=["catalog", "key"],
                condition=Q(archived_at=None),
                name="subscription_plan_one_version_on_sale",
            ),
            models.CheckConstraint(
                condition=Q(version__gte=1), name="subscription_plan_version_from_one"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["free", "paid", "contract"]), name="subscription_plan_kind"
            ),
            models.CheckConstraint(
                condition=Q(min_seats__gte=1)
                & (Q(max_seats=None) | Q(max_seats__gte=F("min_seats"))),
                name="subscription_plan_seats_in_order",
            ),
            models.CheckConstraint(
                condition=Q(per_seat=True) | Q(min_seats=1, max_seats=1),
                name="subscription_plan_flat_sells_one_seat",
            ),
            models.CheckConstraint(
                condition=Q(stripe_product_id=None) | ~Q(stripe_product_id=""),
                name="subscription_plan_product_id_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.catalog}/{self.key} v{self.version}"

    @property
    def name(self) -> str:
        return self.text("name")

    @property
    def summary(self) -> str:
        return self.text("summary")

    @property
    def is_on_sale(self) -> bool:
        return self.archived_at is None

    def text(self, field: str, locale: str | None = None) -> str:
        """In the given locale, else the active one, else the catalogue's first."""
        wanted = locale or get_language() or ""
        texts: dict[str, dict[str, str]] = self.texts
        found = texts.get(wanted) or texts.get(wanted.split("-")[0])
        return (found or next(iter(texts.values()), {})).get(field, "")

    def offers(self, feature: str) -> bool:
        """A planned feature is shown but never granted."""
        state: Any = self.features.get(feature)
        return bool(state == "available")


class PlanPriceQuerySet(models.QuerySet["PlanPrice"]):
    def on_sale(self) -> Self:
        return self.filter(archived_at=None, plan__archived_at=None)

    def purchasable(self) -> Self:
        """Linked to a price at Stripe; without that link a Checkout cannot name what it sells."""
        return self.on_sale().exclude(stripe_price_id=None)

    def for_terms(self, interval: str, currency: str) -> Self:
        return self.filter(interval=interval, currency=currency.lower())

    def with_stripe_id(self, stripe_price_id: str) -> Self:
        return self.filter(stripe_price_id=stripe_price_id)


class PlanPrice(models.Model):
    """What a plan costs per interval in one currency; per seat where the plan is per seat."""

    class Interval(models.TextChoices):
        MONTH = "month", _("Monthly")
        YEAR = "year", _("Yearly")

    plan = models.ForeignKey(SubscriptionPlan, on_delete=models.PROTECT, related_name="prices")
    interval = models.CharField(max_length=5, choices=Interval)
    currency = models.CharField(max_length=3)  # ISO 4217, lower-case as Stripe writes it
    unit_amount = models.BigIntegerField()  # minor units: cents of USD, whole đồng of VND
    stripe_price_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    lookup_key = models.CharField(max_length=200)
    # The Stripe mode that the id belongs to; an id of the other mode grants nothing.
    livemode = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    archived_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = PlanPriceQuerySet.as_manager()

    class Meta:
        db_table = "plan_prices"
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "interval", "currency"],
                condition=Q(archived_at=None),
                name="plan_price_one_per_terms",
            ),
            models.UniqueConstraint(
                fields=["lookup_key"],
                condition=Q(archived_at=None),
                name="plan_price_one_per_lookup_key",
            ),
            models.CheckConstraint(
                condition=Q(interval__in=["month", "year"]), name="plan_price_interval"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[a-z]{3}$"), name="plan_price_currency_is_iso"
            ),
            models.CheckConstraint(condition=Q(unit_amount__gte=0), name="plan_price_not_negative"),
            models.CheckConstraint(
                condition=Q(stripe_price_id=None) | ~Q(stripe_price_id=""),
                name="plan_price_stripe_id_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id}: {self.unit_amount} {self.currency}/{self.interval}"


class PlanLimitQuerySet(models.QuerySet["PlanLimit"]):
    def of_meter(self, meter: str) -> Self:
        return self.filter(meter=meter)


class PlanLimit(models.Model):
    """What a plan allows of a meter. A null amount is unlimited, 0 is nothing."""

    class Per(models.TextChoices):
        ORGANIZATION = "organization", _("per organization")
        SEAT = "seat", _("per seat")  # pooled: one sum for the whole organization
        MEMBER = "member", _("per member")

    plan = models.ForeignKey(SubscriptionPlan, on_delete=models.CASCADE, related_name="limits")
    meter = models.SlugField(max_length=64)
    amount = models.BigIntegerField(null=True, blank=True)
    hard = models.BooleanField()
    per = models.CharField(max_length=12, choices=Per, default=Per.ORGANIZATION)
    # {"per": 1000, "rates": {"usd": "40"}, "cap": {"usd": 2500}}: a rate is a decimal string of
    # minor units for that many units ($0.40 per 1,000); null where nothing beyond is billed.
    overage = models.JSONField(null=True, blank=True)

    objects: ClassVar = PlanLimitQuerySet.as_manager()

    class Meta:
        db_table = "plan_limits"
        constraints = [
            models.UniqueConstraint(fields=["plan", "meter"], name="plan_limit_one_per_meter"),
            models.CheckConstraint(
                condition=Q(amount=None) | Q(amount__gte=0, amount__lte=LARGEST_AMOUNT),
                name="plan_limit_amount_in_range",
            ),
            models.CheckConstraint(
                condition=Q(per__in=["organization", "seat", "member"]), name="plan_limit_per"
            ),
            models.CheckConstraint(
                condition=Q(overage__isnull=True) | Q(hard=False, amount__isnull=False),
                name="plan_limit_only_a_soft_amount_bills_overage",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id}: {self.meter} {self.amount}"
