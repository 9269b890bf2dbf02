"""The role check of pages: who is logged out logs in, who lacks the capability gets 403."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from orgs import capabilities, current
from orgs.exceptions import NotAllowed
from orgs.middleware import enter, login_redirect
from orgs.models import User
from orgs.requests import OrgRequest, PersonRequest

P = ParamSpec("P")


def requires(
    capability: str,
) -> Callable[
    [Callable[Concatenate[OrgRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, P], HttpResponseBase],
]:
    """For pages inside an organization; without a slug in the URL, the current one is meant.

    A misspelt capability raises ValueError when the module is loaded.
    """
    name = capabilities.known(capability)

    def decorate(
        view: Callable[Concatenate[OrgRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not isinstance(request.user, User):
                return login_redirect(request)
            inside = _inside(request)
            require(inside.capabilities, name)
            return view(inside, *args, **kwargs)

        cast(Any, guarded).capability = name
        return guarded

    return decorate


def person_required(
    view: Callable[Concatenate[PersonRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """For pages about the logged-in person rather than an organization."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return login_redirect(request)
        return view(cast(PersonRequest, request), *args, **kwargs)

    return guarded


V = TypeVar("V", bound=Callable[..., Any])


def open_when_locked(view: V) -> V:
    """Marks what an organization may do although it is read-only: pay, leave, take its data along.

    Decorators around it keep the mark when they wrap as functools does. Also for DRF's classes.
    """
    cast(Any, view).open_when_locked = True
    return view


def is_open_when_locked(view: object) -> bool:
    return bool(getattr(view, "open_when_locked", False))


def settles_when_read(view: V) -> V:
    """Marks a page whose reading brings rows up to date: nothing for who only looks on (E12)."""
    cast(Any, view).settles_when_read = True
    return view


def settled_when_read(view: object) -> bool:
    return bool(getattr(view, "settles_when_read", False))


def part_of(
    page: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[[Callable[Concatenate[HttpRequest, P], HttpResponseBase]], Callable[..., Any]]:
    """For a fragment that htmx asks for: opened by hand, its address shows the whole page."""

    def decorate(
        fragment: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(fragment)
        def either(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            asked_by_htmx = bool(getattr(request, "htmx", None))
            return (fragment if asked_by_htmx else page)(request, *args, **kwargs)

        return either

    return decorate


def require(held: frozenset[str], capability: str) -> None:
    """Raises NotAllowed, naming the roles to ask."""
    if capability not in held:
        raise NotAllowed(
            _("Your role does not allow this. Ask an owner of the organization."),
            capability=capability,
            roles=list(capabilities.roles_with(capability)),
        )


def _inside(request: HttpRequest) -> OrgRequest:
    if hasattr(request, "membership"):
        return cast(OrgRequest, request)
    return enter(request, current.membership_for(request))
