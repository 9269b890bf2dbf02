"""Notes who looked at the plans: a stamp of the day, as `last_active_at` is one of the hour."""

from datetime import UTC

from django.utils import timezone

from billing.models import PlansVisit
from orgs.models import Organization


def note(organization: Organization) -> None:
    """Once per organization and day; those who have a subscription are no funnel's beginning."""
    if organization.subscriptions.standing().exists():
        return
    day = timezone.now().astimezone(UTC).date()
    if not PlansVisit.objects.filter(organization=organization, day=day).exists():
        row = PlansVisit(organization=organization, day=day)
        PlansVisit.objects.bulk_create([row], ignore_conflicts=True)
