"""What Stripe told us: one row per event id, stored only after its signature held."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class InboxEventQuerySet(models.QuerySet["InboxEvent"]):
    def waiting(self) -> Self:
        return self.filter(state=InboxEvent.State.WAITING)

    def due(self, now: datetime) -> Self:
        return self.waiting().filter(next_attempt_at__lte=now)

    def dead(self) -> Self:
        return self.filter(state=InboxEvent.State.DEAD)

    def of_customer(self, customer_id: str) -> Self:
        return self.filter(customer_id=customer_id)


class InboxEvent(models.Model):
    """A durable acknowledgement. The payload only says whose state moved (DESIGN, Money in).

    There is no `claimed` state: whoever holds the customer's advisory lock works on its rows, and a
    worker that dies gives the lock back with its connection (A32).
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        IGNORED = "ignored", _("Ignored")
        DEAD = "dead", _("Dead letter")

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=120)
    # Empty for events that belong to no customer (price.*, product.*).
    customer_id = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=255, blank=True)
    livemode = models.BooleanField()
    api_version = models.CharField(max_length=64, blank=True)
    stripe_created_at = models.DateTimeField(null=True)
    # Personal data that nobody needs is cut out before storing (billing.gateway.personal).
    payload = models.JSONField()
    headers = models.JSONField(default=dict)
    received_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    # Why it was ignored or died, with secrets cut out (A35).
    note = models.TextField(blank=True)

    objects: ClassVar = InboxEventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="waiting"), name="inbox_due"
            ),
            models.Index(
                fields=["customer_id", "id"], condition=Q(state="waiting"), name="inbox_by_customer"
            ),
            models.Index(F("received_at").desc(), name="inbox_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"
