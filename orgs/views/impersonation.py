"""Staff begin and end their look at pages as somebody else."""

from typing import Any, cast
from uuid import UUID

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from orgs import impersonation
from orgs.decorators import person_required
from orgs.exceptions import NotAllowed
from orgs.forms import ImpersonationForm
from orgs.models import User
from orgs.requests import PersonRequest
from orgs.staff_site import StaffPage, add_page, render_page


@require_http_methods(["GET", "HEAD", "POST"])
def begin(request: HttpRequest, person: UUID) -> HttpResponse:
    found = get_object_or_404(User, pk=person)
    form = ImpersonationForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _page(request, found, form, status=422 if request.method == "POST" else 200)
    try:
        impersonation.start(request, found, form.cleaned_data["reason"])
    except NotAllowed as refusal:
        messages.error(request, str(refusal))
        return redirect("admin:orgs_user_change", found.pk)
    return redirect("home")


@require_POST
@person_required
def end(request: PersonRequest) -> HttpResponse:
    view = impersonation.of(request)
    if view is None:
        return redirect("home")
    impersonation.end(request, view)
    messages.success(request, _("You are yourself again."))
    return redirect("admin:orgs_user_change", view.person_id)


def _page(
    request: HttpRequest, person: User, form: ImpersonationForm, *, status: int
) -> HttpResponse:
    context: dict[str, Any] = {"person": person, "form": form, "lasts": impersonation.LASTS}
    title = _("See the product as %(person)s") % {"person": person.email}
    return render_page(request, "staff/impersonate.html", title, status=status, **context)


add_page(
    StaffPage(
        route="impersonate/<uuid:person>/",
        name="impersonate",
        view=cast(Any, reauthentication_required)(begin, allow_get=False),
        permission=impersonation.MAY,
    )
)
