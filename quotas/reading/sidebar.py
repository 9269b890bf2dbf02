"""The two or three meters beside every page."""

from orgs.models import Organization


def pinned_meters(organization: Organization) -> tuple[object, ...]:
    """Meters with a balance, none before the organization has used anything."""
    return ()
