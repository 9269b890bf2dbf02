"""What we owe the outside: mail and notices, written in the transaction that causes them."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import Organization


class OutboxMessageQuerySet(models.QuerySet["OutboxMessage"]):
    def due(self, now: datetime) -> Self:
        return self.filter(state=OutboxMessage.State.WAITING, next_attempt_at__lte=now)


class OutboxMessage(models.Model):
    """Sent once each: `once_per` is unique, and a crash can only repeat a send, never lose it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        DROPPED = "dropped", _("Dropped")
        DEAD = "dead", _("Dead letter")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, related_name="+"
    )
    kind = models.CharField(max_length=64)
    once_per = models.CharField(max_length=255, unique=True)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    objects: ClassVar = OutboxMessageQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="waiting"), name="outbox_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.once_per}"
