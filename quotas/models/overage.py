"""Units beyond the allowance on their way to Stripe: the outbox of overage."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


class OverageReportQuerySet(models.QuerySet["OverageReport"]):
    def due(self, now: datetime) -> Self:
        return self.filter(state=OverageReport.State.WAITING, next_attempt_at__lte=now)

    def of_period(self, organization: Organization, meter: str, start: datetime) -> Self:
        return self.filter(organization=organization, meter=meter, period_start=start)


class OverageReport(models.Model):
    """A step in the account of one organization, meter and usage period.

    Reported + waiting + waived = the balance's overage. `units` is negative where a release took
    back what had been accounted for.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Reported")
        WAIVED = "waived", _("Not billed")

    class Reason(models.TextChoices):
        """Why units are not billed."""

        NONE = "", _("none")
        CAP = "cap", _("beyond the cap")
        STOP = "stop", _("the owner wants no overage")
        ENDED = "ended", _("the subscription has ended")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="overage_reports"
    )
    meter = models.SlugField(max_length=64)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    number = models.PositiveIntegerField()  # contiguous within the period
    units = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=8, choices=Reason, default=Reason.NONE, blank=True)
    customer_id = models.CharField(max_length=64)
    # The instant that the event carries, and with it the invoice that it is on.
    event_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    # Since when nobody knows whether it arrived, and the last try: by the wall's clock and by the
    # organization's own. Whichever has gone on longer decides what Stripe may have forgotten.
    doubt_since = models.DateTimeField(null=True, blank=True)
    doubt_since_own = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    tried_at_own = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    objects: ClassVar = OverageReportQuerySet.as_manager()

    class Meta:
        db_table = "usage_overage_report"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "meter", "period_start", "number"],
                name="overage_report_numbered_once",
            ),
            # One at a time: what Stripe was asked for never changes, and nothing overtakes it.
            models.UniqueConstraint(
                fields=["organization", "meter", "period_start"],
                condition=Q(state="waiting"),
                name="overage_report_one_waiting",
            ),
            models.CheckConstraint(condition=~Q(units=0), name="overage_report_counts_something"),
            models.CheckConstraint(
                condition=~Q(state="sent") | Q(event_at__isnull=False, sent_at__isnull=False),
                name="overage_report_sent_at_some_time",
            ),
            models.CheckConstraint(
                condition=Q(period_end__gt=F("period_start")),
                name="overage_report_period_in_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="waiting"), name="overage_report_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.identifier}: {self.units} ({self.state})"

    @property
    def identifier(self) -> str:
        """The same for every try, so that Stripe counts it once."""
        period = int(self.period_start.timestamp())
        return f"{self.organization_id}:{self.meter[:40]}:{period}:{self.number}"
