"""While staff look at pages as somebody else: the person's pages, and nothing but reading (E12)."""

from collections.abc import Callable
from typing import Any, Final

import structlog
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from config.error_pages import refusal
from orgs import impersonation
from orgs.decorators import settled_when_read
from orgs.exceptions import NotAllowed
from orgs.models import Impersonation

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Passwords, addresses and second factors of the person are not staff's to see.
_NOT_TO_BE_SEEN: Final = "/accounts/"


class ImpersonationMiddleware:
    """After authentication, before whatever asks who somebody is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = _begun(request)
        if view is None:
            return self.get_response(request)
        if not impersonation.goes_on(request, view):
            impersonation.end(request, view)
            messages.info(request, _("The view as %(person)s has ended.") % {"person": view.person})
            return redirect(settings.LOGIN_REDIRECT_URL)
        if _signs_out(request):
            impersonation.end(request, view)
            return self.get_response(request)
        return self._as_the_person(request, view)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., Any],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> HttpResponse | None:
        if impersonation.of(request) is None or _is_only_looking(request, view):
            return None
        error = NotAllowed(_("You are looking at this as somebody else: nothing can be changed."))
        return refusal(request, error)

    def _as_the_person(self, request: HttpRequest, view: Impersonation) -> HttpResponse:
        request.user = view.person
        request.impersonation = view  # type: ignore[attr-defined]  # read by `impersonation.of`
        with structlog.contextvars.bound_contextvars(acting_as=view.staff.email):
            return self.get_response(request)


def _begun(request: HttpRequest) -> Impersonation | None:
    """No query for whoever has no session, and none for everybody else's."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    if impersonation.SESSION_KEY not in request.session:
        return None
    return impersonation.find(request)


def _signs_out(request: HttpRequest) -> bool:
    return request.method == "POST" and request.path == reverse("account_logout")


def _is_only_looking(request: HttpRequest, view: Callable[..., Any]) -> bool:
    if request.method == "POST":
        return request.path == reverse("orgs:impersonation-end")
    return (
        request.method in _SAFE_METHODS
        and not request.path.startswith(_NOT_TO_BE_SEEN)
        and not settled_when_read(view)
    )
