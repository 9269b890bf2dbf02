"""What belongs to no app: the front door, and the choice of theme."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from orgs import capabilities, current
from orgs.capabilities import Capability
from orgs.decorators import person_required
from orgs.requests import PersonRequest

THEMES = ("light", "dark")
ONE_YEAR_SECONDS = 31_536_000


@require_safe
@person_required
def home(request: PersonRequest) -> HttpResponse:
    """The current organization's first page that this person may see."""
    membership = current.membership_in(request.user, None)
    held = capabilities.of(membership)
    view = "billing:settings" if Capability.BILLING_VIEW in held else "orgs:members"
    return redirect(view, slug=membership.organization.slug)


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Anything but light or dark forgets the choice: the system decides again."""
    response = HttpResponseRedirect(_own_path(request.POST.get("next", "")))
    theme = request.POST.get("theme", "")
    if theme in THEMES:
        response.set_cookie("theme", theme, ONE_YEAR_SECONDS, samesite="Lax", httponly=True)
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response


def _own_path(wanted: str) -> str:
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    return "/"
