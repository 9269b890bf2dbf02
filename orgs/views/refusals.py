"""Refusals that a form explains in place rather than on an error page."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib import messages
from django.http import HttpRequest

from orgs.exceptions import DomainError, NotAllowed, OrganizationNotFound


@contextmanager
def explained(request: HttpRequest) -> Iterator[None]:
    """Shows why on the next page; who lacks the role, or looks elsewhere, gets 403 or 404."""
    try:
        yield
    except (NotAllowed, OrganizationNotFound):
        raise
    except DomainError as refusal:
        messages.error(request, str(refusal))
