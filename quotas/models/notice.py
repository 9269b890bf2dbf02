"""Where satellites want to hear of changes, what they were told, and what they know by now."""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID, uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization
from quotas.models.satellite import Satellite


class NoticeType(models.TextChoices):
    ENTITLEMENTS_CHANGED = "entitlements.changed", "entitlements.changed"
    ACCESS_CHANGED = "access.changed", "access.changed"
    QUOTA_CROSSED = "quota.crossed", "quota.crossed"
    OVER_LIMIT = "usage.over_limit", "usage.over_limit"
    ORGANIZATION_DELETED = "organization.deleted", "organization.deleted"
    TEST = "test", "test"


class NoticeEndpointQuerySet(models.QuerySet["NoticeEndpoint"]):
    def live(self) -> Self:
        return self.filter(disabled_at=None, satellite__disabled_at=None)

    def listening(self, organization: UUID, kind: str) -> Self:
        """Null scopes and subscriptions mean all, as with service tokens."""
        return self.live().filter(
            Q(events=None) | Q(events__contains=[kind]),
            Q(organizations=None) | Q(organizations__contains=[organization]),
        )

    def free(self, now: datetime) -> Self:
        """Nobody sends to it and it does not rest. Judged by columns of its own, so that an update
        with this condition is refused to whoever waited for the row while another took it."""
        return self.filter(
            Q(paused_until=None) | Q(paused_until__lte=now),
            Q(leased_until=None) | Q(leased_until__lte=now),
        )

    def with_something_due(self, now: datetime) -> Self:
        waiting = NoticeDelivery.objects.due(now).filter(endpoint=models.OuterRef("pk"))
        return self.live().free(now).filter(models.Exists(waiting))


class NoticeEndpoint(models.Model):
    """One address of one satellite. Secrets are encrypted with a key derived from SECRET_KEY."""

    satellite = models.ForeignKey(
        Satellite, on_delete=models.CASCADE, related_name="notice_endpoints"
    )
    url = models.CharField(max_length=500)
    events = ArrayField(models.CharField(max_length=32, choices=NoticeType), null=True, blank=True)
    meters = ArrayField(models.CharField(max_length=64), null=True, blank=True)
    organizations = ArrayField(models.UUIDField(), null=True, blank=True)
    secret = models.TextField(editable=False)
    # After a rotation both sign, until this one is forgotten (G7).
    former_secret = models.TextField(blank=True, editable=False)
    former_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_reason = models.CharField(max_length=200, blank=True, editable=False)
    # Since the first failure after the last success; how many in a row.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    # A failing receiver rests as a whole, so that its backlog is not tried notice by notice.
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Who sends to it has it until then: one connection per endpoint, however many workers (G12).
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = NoticeEndpointQuerySet.as_manager()

    class Meta:
        db_table = "notice_endpoint"

    def __str__(self) -> str:
        return f"{self.satellite}: {self.url}"

    def hears_of(self, meter: str) -> bool:
        return self.meters is None or meter in self.meters


class NoticeDeliveryQuerySet(models.QuerySet["NoticeDelivery"]):
    def due(self, now: datetime) -> Self:
        return self.filter(state=NoticeDelivery.State.WAITING, next_attempt_at__lte=now)


class NoticeDelivery(models.Model):
    """One notice for one endpoint, written with its cause; its id is the webhook-id (G10)."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Given up")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    endpoint = models.ForeignKey(
        NoticeEndpoint, on_delete=models.CASCADE, related_name="deliveries"
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, related_name="+"
    )
    type = models.CharField(max_length=32, choices=NoticeType)
    sequence = models.BigIntegerField(default=0)
    payload = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)

    objects: ClassVar = NoticeDeliveryQuerySet.as_manager()

    class Meta:
        db_table = "notice_delivery"
        verbose_name_plural = "notice deliveries"
        indexes = [
            models.Index(
                fields=["endpoint", "next_attempt_at"],
                condition=Q(state="waiting"),
                name="notice_due",
            ),
            models.Index(F("created_at").desc(), name="notice_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.webhook_id}"

    @property
    def webhook_id(self) -> str:
        return f"msg_{self.id.hex}"


class NoticeState(models.Model):
    """What satellites were last told of an organization. Its lock orders the notices."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    sequence = models.BigIntegerField(default=0)
    entitlements = models.CharField(max_length=64, blank=True)  # a digest of the last snapshot
    access = models.CharField(max_length=10, blank=True)
    # Meter → what was told of it: used, limit, since. Empty while nothing is over.
    over = models.JSONField(default=dict)

    objects: ClassVar[models.Manager["NoticeState"]] = models.Manager()

    class Meta:
        db_table = "notice_state"

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.sequence}"
