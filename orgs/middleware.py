"""Pages under /o/<slug>/ belong to one organization, and only its members learn that it exists."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect
from structlog.contextvars import bind_contextvars

from orgs import capabilities, current, impersonation, organizations
from orgs.exceptions import OrganizationNotFound
from orgs.models import Membership, User
from orgs.requests import OrgRequest

ORGANIZATION_PREFIX = "/o/"
API_PREFIX = "/api/"
_ACTIVITY_RESOLUTION = timedelta(minutes=15)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CurrentOrganizationMiddleware:
    """Sets organization, membership and capabilities; strangers get 404, the anonymous a login.

    The role is read on every request, so that a change of role holds from the next one (E3).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """No copy of a private answer outlives the session, in no cache and no history (E24)."""
        response = self.get_response(request)
        if request.path_info.startswith((ORGANIZATION_PREFIX, API_PREFIX)):
            patch_cache_control(response, private=True, no_store=True)
        return response

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponse],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> HttpResponse | None:
        if not request.path_info.startswith(ORGANIZATION_PREFIX):
            return None
        if not isinstance(request.user, User):
            return login_redirect(request)
        membership = _membership(request.user, str(kwargs.get("slug", "")))
        enter(request, membership)
        if impersonation.of(request) is None:
            _note_activity(membership)
        if request.method not in _SAFE_METHODS:
            _remember(request.user, membership)
        return None


def enter(request: HttpRequest, membership: Membership) -> OrgRequest:
    """Gives the request the attributes of OrgRequest, and its log lines the organization."""
    bind_contextvars(organization=str(membership.organization_id))
    entered = cast(OrgRequest, request)
    entered.membership = membership
    entered.organization = membership.organization
    entered.capabilities = capabilities.of(membership)
    return entered


def login_redirect(request: HttpRequest) -> HttpResponse:
    """HTMX would put the login page into a fragment's place, so it is told to leave the page."""
    htmx = getattr(request, "htmx", None)
    if not htmx:
        return redirect_to_login(request.get_full_path())
    target = urlencode({"next": htmx.current_url_abs_path or "/"})
    response = redirect_to_login("/")
    return HttpResponseClientRedirect(f"{response.url.partition('?')[0]}?{target}")


def _membership(user: User, slug: str) -> Membership:
    """Only the slug counts in a URL: ids are for the API."""
    try:
        found = current.membership_in(user, slug)
    except OrganizationNotFound as error:
        raise Http404(str(error)) from error
    if found.organization.slug != slug:
        raise Http404
    return found


def _note_activity(membership: Membership) -> None:
    now = timezone.now()
    stale = now - _ACTIVITY_RESOLUTION
    if membership.last_active_at is None or membership.last_active_at < stale:
        Membership.objects.filter(
            Q(last_active_at=None) | Q(last_active_at__lt=stale), pk=membership.pk
        ).update(last_active_at=now)


def _remember(user: User, membership: Membership) -> None:
    """Acting in an organization makes it the current one; merely reading in it does not (E17)."""
    if user.current_organization_id != membership.organization_id:
        organizations.make_current(user, membership.organization)
