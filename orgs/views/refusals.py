"""Refusals that a form explains in place rather than on an error page."""

from types import TracebackType

from django.contrib import messages
from django.http import HttpRequest

from orgs.exceptions import DomainError, NotAllowed, OrganizationNotFound


class explained:  # noqa: N801  reads as a sentence: `with explained(request):`
    """Shows why on the next page; who lacks the role, or looks elsewhere, gets 403 or 404."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        refusal: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(refusal, NotAllowed | OrganizationNotFound):
            return False
        if not isinstance(refusal, DomainError):
            return False
        messages.error(self.request, str(refusal))
        return True
