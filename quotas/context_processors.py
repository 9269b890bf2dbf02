"""What every page of an organization may show of its usage."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from quotas.reading.sidebar import pinned_meters


def sidebar(request: HttpRequest) -> dict[str, object]:
    """`sidebar_meters`: asked of the database only by a template that shows it."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return {"sidebar_meters": ()}
    return {"sidebar_meters": SimpleLazyObject(lambda: pinned_meters(organization))}
