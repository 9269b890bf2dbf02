"""Settings > Data: take everything along, or have the organization deleted."""

from typing import Any
from urllib.parse import urlencode

from allauth.account import app_settings as allauth_settings
from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from orgs import deletions
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, part_of, requires
from orgs.exceptions import DeletionBlocked, DomainError
from orgs.forms import DeletionForm
from orgs.models import DataExport, Organization
from orgs.owned_data import exports
from orgs.requests import OrgRequest, PersonRequest
from orgs.views.refusals import explained

_PAGE = "orgs:data"


@require_safe
@requires("organization.export")
def page(request: OrgRequest, slug: str) -> HttpResponse:
    return _page(request)


@part_of(page)
@require_safe
@requires("organization.export")
def state(request: OrgRequest, slug: str) -> HttpResponse:
    """The part of the page that asks for itself again while an archive is being built."""
    return render(request, "orgs/_export.html", _export(request.organization))


@require_POST
@requires("organization.export")
@open_when_locked
def ask_export(request: OrgRequest, slug: str) -> HttpResponse:
    with explained(request):
        exports.ask(request.organization, actor=request.user)
    return redirect(_PAGE, slug=slug)


@require_POST
@requires("organization.export")
@open_when_locked
def download(request: OrgRequest, slug: str) -> HttpResponseBase:
    """An act, not a link: the audit trail says who took everything along."""
    with explained(request):
        return archive_response(*exports.fetch(request.organization, actor=request.user))
    return redirect(_PAGE, slug=slug)


@require_POST
@requires("organization.close")
@open_when_locked
def ask_deletion(request: OrgRequest, slug: str) -> HttpResponse:
    form = DeletionForm(request.POST, name=request.organization.name)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    if not has_proved_lately(request):
        messages.info(request, _("Please confirm that it is you, then delete once more."))
        asked = urlencode({"next": reverse(_PAGE, kwargs={"slug": slug})})
        return redirect(f"{reverse('account_reauthenticate')}?{asked}")
    try:
        deletions.ask(request.organization, actor=request.user)
    except DeletionBlocked as refusal:
        return _page(request, status=refusal.status)
    except DomainError as refusal:
        form.add_error(None, str(refusal))
        return _page(request, form=form, status=refusal.status)
    return redirect(_PAGE, slug=slug)


@require_POST
@requires("organization.close")
@open_when_locked
def undo_deletion(request: OrgRequest, slug: str) -> HttpResponse:
    if deletions.undo(request.organization, actor=request.user):
        messages.success(request, _("Nothing will be deleted."))
    return redirect(_PAGE, slug=slug)


def archive_response(export: DataExport, pieces: Any) -> StreamingHttpResponse:
    response = StreamingHttpResponse(pieces, content_type="application/zip")
    day = export.asked_at.date().isoformat()
    name = f"{export.organization.slug}-{day}.zip"  # a slug holds nothing that could end the header
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(export.size)
    return response


def has_proved_lately(request: PersonRequest) -> bool:
    """Signed in, or confirmed their password or second factor, within the last minutes."""
    proofs = get_authentication_records(request, request.user)
    newest = max((float(proof["at"]) for proof in proofs), default=0.0)
    lasts = float(allauth_settings.REAUTHENTICATION_TIMEOUT)
    return timezone.now().timestamp() - newest < lasts


def _page(
    request: OrgRequest, *, form: DeletionForm | None = None, status: int = 200
) -> HttpResponse:
    organization = request.organization
    may_delete = (
        Capability.ORGANIZATION_CLOSE in request.capabilities
        and organization.kind == Organization.Kind.TEAM
    )
    context = _export(organization) | {
        "may_delete": may_delete,
        "deletion": deletions.pending(organization),
        "blockers": deletions.blockers(organization) if may_delete else [],
        "form": form or DeletionForm(name=organization.name),
        "grace_days": settings.DELETION_GRACE_DAYS,
    }
    return render(request, "orgs/data.html", context, status=status)


def _export(organization: Organization) -> dict[str, Any]:
    export = exports.newest(organization)
    percent = 0
    if export is not None and export.rows_expected:
        percent = min(99, export.rows_done * 100 // export.rows_expected)
    return {"organization": organization, "export": export, "percent": percent}
