"""Is the background alive? The answers of `/readyz` and of the doctor."""

from datetime import datetime

from django.utils import timezone

from billing.models import InboxEvent, Pulse

BEAT = "beat"


def mark(name: str) -> None:
    Pulse.objects.update_or_create(name=name, defaults={"at": timezone.now()})


def last_beat() -> datetime | None:
    return last(BEAT)


def last(name: str) -> datetime | None:
    return Pulse.objects.filter(name=name).values_list("at", flat=True).first()


def oldest_unprocessed_event() -> datetime | None:
    return (
        InboxEvent.objects.waiting()
        .order_by("received_at")
        .values_list("received_at", flat=True)
        .first()
    )
