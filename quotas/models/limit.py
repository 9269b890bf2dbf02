"""What an organization may use of a meter now, and what raised or lowered it."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization, User

LARGEST_AMOUNT = 10**15  # of any usage; DESIGN 1


class Kind(models.TextChoices):
    LEVEL = "level", _("level")  # goes up and down, never resets
    FLOW = "flow", _("flow")  # starts again each usage period
    ROWS = "rows", _("rows")  # counted from our own rows
    CEILING = "ceiling", _("ceiling")  # a maximum per request, never summed


class PeriodRule(models.TextChoices):
    BILLING = "billing", _("billing period")
    PAID = "paid", _("when the period's invoice is paid")
    MONTH = "month", _("calendar month")
    DAY = "day", _("day")
    HOUR = "hour", _("hour")
    NEVER = "never", _("never")


class Overage(models.TextChoices):
    STOP = "stop", _("stop at the limit")
    ALLOW = "allow", _("keep going, flagged")
    BILL = "bill", _("keep going and bill")


class Enforcement(models.TextChoices):
    DISABLED = "disabled", _("disabled")
    OBSERVE = "observe", _("observe")  # decide and report, never refuse
    ENFORCE = "enforce", _("enforce")


class Refusal(models.TextChoices):
    NONE = "", _("none")
    FEATURE_UNAVAILABLE = "feature_unavailable", _("the plan does not have it")
    PAYMENT_REQUIRED = "payment_required", _("not during grace")


class UsageLimit(models.Model):
    """Derived, one per organization and meter of the catalogue; written under the head lock.

    `amount` is the whole allowance: seats multiplied in, add-ons and overrides applied, null for
    unlimited. The present usage period is kept with it, so that most decisions compute none.
    """

    pk = models.CompositePrimaryKey("organization", "meter")
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,  # every key leads with it
    )
    meter = models.TextField()
    kind = models.TextField(choices=Kind)
    # Why every use is refused whatever the numbers say; empty where it is not.
    refusal = models.TextField(choices=Refusal, default=Refusal.NONE, blank=True)
    amount = models.BigIntegerField(null=True, blank=True)
    hard = models.BooleanField(default=True)
    per_member = models.BooleanField(default=False)
    overage = models.TextField(choices=Overage, default=Overage.STOP)
    # Units that a soft limit admits beyond the allowance; null for no cap.
    overage_cap = models.BigIntegerField(null=True, blank=True)
    period_rule = models.TextField(choices=PeriodRule)
    period_anchor = models.DateTimeField()
    # For `paid`: usage periods do not roll past what is paid.
    paid_until = models.DateTimeField(null=True, blank=True)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    enforcement = models.TextField(choices=Enforcement, default=Enforcement.ENFORCE)
    # False saves the search for credits in almost every decision.
    has_credits = models.BooleanField(default=False)
    derived_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["UsageLimit"]] = models.Manager()

    class Meta:
        db_table = "usage_limit"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount=None) | Q(amount__gte=0, amount__lte=LARGEST_AMOUNT),
                name="usage_limit_amount_in_range",
            ),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="usage_limit_kind"),
            models.CheckConstraint(
                condition=Q(period_rule__in=PeriodRule.values), name="usage_limit_period_rule"
            ),
            models.CheckConstraint(
                condition=Q(enforcement__in=Enforcement.values), name="usage_limit_enforcement"
            ),
            models.CheckConstraint(
                condition=Q(period_end__gt=F("period_start")), name="usage_limit_period_in_order"
            ),
            models.CheckConstraint(
                condition=Q(overage_cap=None) | Q(overage_cap__gte=0), name="usage_limit_cap"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter}: {self.amount}"


class LimitAdjustmentQuerySet(models.QuerySet["LimitAdjustment"]):
    def live_at(self, organization: Organization, at: object) -> Self:
        return self.filter(
            Q(ends_at=None) | Q(ends_at__gt=at), organization=organization, revoked_at=None
        )


class LimitAdjustment(models.Model):
    """A change of one limit for one organization: an add-on pack, or an override by us."""

    class Mode(models.TextChoices):
        ADD = "add", _("adds to the plan's limit")
        SET = "set", _("replaces the plan's limit")

    class Source(models.TextChoices):
        ADD_ON = "add_on", _("Add-on")
        OVERRIDE = "override", _("Override")

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="limit_adjustments"
    )
    meter = models.SlugField(max_length=64)
    mode = models.CharField(max_length=3, choices=Mode)
    source = models.CharField(max_length=8, choices=Source)
    amount = models.BigIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    starts_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = LimitAdjustmentQuerySet.as_manager()

    class Meta:
        db_table = "limit_adjustment"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount=None, mode="set") | Q(amount__gte=0, amount__lte=LARGEST_AMOUNT),
                name="limit_adjustment_amount_in_range",
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")),
                name="limit_adjustment_ends_after_it_starts",
            ),
        ]
        indexes = [models.Index(fields=["organization", "meter"], name="adjustment_by_org")]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.meter} {self.mode} {self.amount}"
