"""Writes down what observe mode let pass and no row of the ledger tells."""

from datetime import UTC
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from quotas.models import Observation

Source = Observation.Source


def note(organization: UUID, source: Source, subject: str, reason: str, *, amount: int = 0) -> None:
    """One more call of today; safe beside others who note the same."""
    now = timezone.now()
    scope = {
        "organization_id": organization,
        "source": source,
        "subject": subject,
        "reason": reason,
        "day": now.astimezone(UTC).date(),
    }
    row = Observation(calls=0, first_at=now, last_at=now, **scope)
    rows = Observation.objects.filter(**scope)
    more = {"calls": F("calls") + 1, "amount": F("amount") + amount, "last_at": now}
    if not rows.update(**more):
        Observation.objects.bulk_create([row], ignore_conflicts=True)
        rows.update(**more)
