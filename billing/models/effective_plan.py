"""Which plan applies now, from which source and why; and every change of that answer."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from billing.models.plan import SubscriptionPlan
from billing.models.subscription import Subscription
from orgs.models import Organization


class Source(models.TextChoices):
    """Where a plan comes from; the order is the precedence, strongest first (DESIGN, Money in)."""

    SITE_OWNER = "site_owner", _("Site-owner override")
    CONTRACT = "contract", _("Enterprise contract")
    MANUAL = "manual", _("Manual override")
    PILOT = "pilot", _("Pilot")
    STRIPE = "stripe", _("Stripe subscription")
    TRIAL = "trial", _("Trial")
    BETA = "beta", _("Beta")
    LICENCE = "licence", _("Licence")
    DEFAULT = "default", _("Default plan")


class Access(models.TextChoices):
    FULL = "full", _("Full")
    RESTRICTED = "restricted", _("No new paid actions")
    READ_ONLY = "read_only", _("Read-only")


class Verdict(models.Model):
    """What `resolve` answered: the columns that the present row and the history share."""

    plan = models.ForeignKey(SubscriptionPlan, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=12, choices=Source)
    # Stripe's word for the winning subscription, or `active` for grants and the default plan.
    status = models.CharField(max_length=24, default="active")
    access = models.CharField(max_length=10, choices=Access, default=Access.FULL)
    seats = models.PositiveIntegerField(default=1)
    interval = models.CharField(max_length=5, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    price_id = models.CharField(max_length=64, blank=True)
    subscription_id = models.CharField(max_length=64, blank=True)
    period_start = models.DateTimeField(null=True, blank=True)
    period_end = models.DateTimeField(null=True, blank=True)
    # When the plan ends by a decision already taken (cancellation, end of grant or trial).
    ends_at = models.DateTimeField(null=True, blank=True)
    grace_ends_at = models.DateTimeField(null=True, blank=True)
    # The next instant at which time alone can change the answer; past it readers re-derive first.
    valid_until = models.DateTimeField(null=True, blank=True)
    is_beta = models.BooleanField(default=False)
    reason = models.CharField(max_length=64)
    # What add-on packs put on top of the plan's limits, by meter.
    added = models.JSONField(default=dict)
    trace = models.JSONField(default=list)

    class Meta:
        abstract = True

    @property
    def owed_invoice(self) -> str:
        """Stripe's id of the invoice that grace or lock rests on; empty where nothing is owed."""
        return self._invoice_of("dunning")

    @property
    def disputed_invoice(self) -> str:
        """Stripe's id of the invoice whose payment a bank took back for good; empty without one."""
        return self._invoice_of("dispute")

    @property
    def barred_by_dispute(self) -> bool:
        """A payment was taken back for good, and with it any plan that is bought."""
        return any(
            (step["subject"], step["outcome"]) == ("dispute", "downgrade") for step in self.trace
        )

    @property
    def unpaid_subscriptions(self) -> list[str]:
        """Stripe's ids; whose first payment failed they gave no plan, and stand all the same."""
        return [
            step["subject"].removeprefix("stripe:")
            for step in self.trace
            if step["subject"].startswith("stripe:")
            and step["detail"].get("status") in {"past_due", "unpaid"}
        ]

    def _invoice_of(self, subject: str) -> str:
        steps = (step for step in self.trace if step["subject"] == subject)
        return next((str(step["detail"].get("invoice") or "") for step in steps), "")


class EffectivePlanQuerySet(models.QuerySet["EffectivePlan"]):
    def outdated(self) -> Self:
        """Past the instant at which time alone changes the answer, by each organization's clock."""
        now = Coalesce("organization__billing_account__frozen_at", Now())
        return self.filter(valid_until__lte=now)

    def with_a_deadline(self, *, within: timedelta) -> Self:
        """In grace, or on trial, with little time left by each organization's own clock."""
        now = Coalesce("organization__billing_account__frozen_at", Now())
        last = Q(ends_at__lte=F("now") + within) & Q(source=Source.TRIAL)
        stripes = Q(source=Source.STRIPE, status="trialing", period_end__lte=F("now") + within)
        grace = Q(grace_ends_at__gt=F("now"))
        return self.annotate(now=now).filter(grace | last | stripes)

    def downgraded_for_debt(self) -> Self:
        return self.filter(reason="payment_failed_downgrade")

    def still_subscribed(self) -> Self:
        """With a subscription that Stripe has not ended."""
        own = Subscription.objects.standing().filter(organization=OuterRef("organization"))
        return self.filter(Exists(own))


class EffectivePlan(Verdict):
    """The present answer for one organization. Derived: `rederive` can rebuild it at any time."""

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="effective_plan"
    )
    # Counts changes; notices carry it, so that receivers can ignore an older one (G10).
    sequence = models.PositiveBigIntegerField(default=0)
    derived_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = EffectivePlanQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.organization_id} on {self.plan_id} by {self.source}"

    @property
    def trial_ends_at(self) -> datetime | None:
        """Of a trial, ours or Stripe's; None where nothing is tried."""
        if self.source == Source.TRIAL:
            return self.ends_at
        tries = self.source == Source.STRIPE and self.status == "trialing"
        return self.period_end if tries else None


class EffectivePlanChange(Verdict):
    """One change of the answer, with the facts it rested on, so that the past can be explained."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="plan_changes"
    )
    sequence = models.PositiveBigIntegerField()
    # The organization's own time (a test clock's, where there is one) and the real recorded time.
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())
    cause = models.CharField(max_length=120)
    facts = models.JSONField(default=dict)
    # The catalogue's part of the decision; empty in rows that are older than this column.
    policy = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "sequence"], name="plan_change_numbered_once"
            )
        ]
        indexes = [models.Index("organization", F("at").desc(), name="plan_change_by_time")]

    objects: ClassVar = models.Manager()

    def __str__(self) -> str:
        return f"{self.organization_id} change {self.sequence}"
