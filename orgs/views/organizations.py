"""General settings, switching, founding and closing."""

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from orgs import account_deletion, organizations
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, person_required, requires
from orgs.exceptions import DomainError
from orgs.forms import (
    CloseForm,
    DeleteAccountForm,
    DescriptionForm,
    ProfileForm,
    SlugForm,
    TeamForm,
)
from orgs.models import Organization, User
from orgs.organizations import Description
from orgs.preferences import remember_language
from orgs.requests import OrgRequest, PersonRequest
from orgs.views.refusals import explained


@require_safe
@requires("organization.view")
def home(request: OrgRequest, slug: str) -> HttpResponse:
    return redirect("orgs:general", slug=slug)


@require_safe
@requires("organization.view")
def general(request: OrgRequest, slug: str) -> HttpResponse:
    return _general(request)


@require_POST
@requires("organization.manage")
def describe(request: OrgRequest, slug: str) -> HttpResponse:
    form = DescriptionForm(request.POST)
    if not form.is_valid():
        return _general(request, description=form, status=422)
    description = Description(
        name=form.cleaned_data["name"],
        language=form.cleaned_data["language"],
        time_zone=form.cleaned_data["time_zone"],
        billing_email=request.organization.billing_email,
    )
    organizations.describe(request.organization, description, actor=request.user)
    messages.success(request, _("Saved."))
    return redirect("orgs:general", slug=slug)


@require_POST
@requires("organization.manage")
def change_slug(request: OrgRequest, slug: str) -> HttpResponse:
    form = SlugForm(request.POST)
    if not form.is_valid():
        return _general(request, address=form, status=422)
    try:
        changed = organizations.change_slug(
            request.organization, form.cleaned_data["slug"], actor=request.user
        )
    except DomainError as refusal:
        form.add_error("slug", str(refusal))
        return _general(request, address=form, status=refusal.status)
    messages.success(request, _("The address has changed. Links to the former one end here."))
    return redirect("orgs:general", slug=changed.slug)


@require_POST
@requires("organization.close")
@open_when_locked
def close(request: OrgRequest, slug: str) -> HttpResponse:
    form = CloseForm(request.POST, slug=slug)
    if not form.is_valid():
        return _general(request, closing=form, status=422)
    name = request.organization.name
    with explained(request):
        organizations.close(request.organization, actor=request.user)
        messages.success(request, _("%(name)s is closed.") % {"name": name})
        return redirect("home")
    return redirect("orgs:general", slug=slug)


@require_POST
@requires("organization.view")
@open_when_locked
def switch(request: OrgRequest, slug: str) -> HttpResponse:
    """The middleware has made it the current one: it does so for every act inside."""
    return redirect("home")


@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def new(request: PersonRequest) -> HttpResponse:
    form = TeamForm(request.POST or None)
    status = 422 if form.is_bound else 200
    if request.method == "POST" and form.is_valid():
        try:
            return _founded(request, form.cleaned_data["name"])
        except DomainError as refusal:
            form.add_error(None, str(refusal))
            status = refusal.status
    return render(request, "orgs/new.html", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def profile(request: PersonRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, initial=_described(request.user))
    if request.method == "POST" and form.is_valid():
        User.objects.filter(pk=request.user.pk).update(**form.cleaned_data)
        response = redirect("orgs:profile")
        remember_language(response, form.cleaned_data["language"])
        messages.success(request, _("Saved."))
        return response
    return _profile(request, form, status=422 if form.is_bound else 200)


@require_POST
@person_required
def delete_account(request: PersonRequest) -> HttpResponse:
    form = DeleteAccountForm(request.POST, email=request.user.email)
    if not form.is_valid():
        return _profile(request, _described_form(request.user), deleting=form, status=422)
    with explained(request):
        account_deletion.delete_account(request.user)
        logout(request)
        messages.success(request, _("Your account is deleted."))
        return redirect("account_login")
    return redirect("orgs:profile")


def _profile(
    request: PersonRequest,
    form: ProfileForm,
    *,
    deleting: DeleteAccountForm | None = None,
    status: int = 200,
) -> HttpResponse:
    deleting = deleting or DeleteAccountForm(email=request.user.email)
    context = {
        "form": form,
        "deleting": deleting,
        "owned_alone": organizations.owned_alone(request.user),
    }
    return render(request, "orgs/profile.html", context, status=status)


def _described_form(person: User) -> ProfileForm:
    return ProfileForm(initial=_described(person))


def _founded(request: PersonRequest, name: str) -> HttpResponse:
    team = organizations.create_team(request.user, name)
    messages.success(request, _("%(name)s is ready. Invite your team.") % {"name": team.name})
    return redirect("orgs:members", slug=team.slug)


def _described(subject: Organization | User) -> dict[str, str]:
    return {field: getattr(subject, field) for field in ("name", "language", "time_zone")}


def _general(
    request: OrgRequest,
    *,
    description: DescriptionForm | None = None,
    address: SlugForm | None = None,
    closing: CloseForm | None = None,
    status: int = 200,
) -> HttpResponse:
    organization = request.organization
    may = request.capabilities
    context = {
        "description": description or DescriptionForm(initial=_described(organization)),
        "address": address or SlugForm(initial={"slug": organization.slug}),
        "closing": closing or CloseForm(slug=organization.slug, auto_id="close_%s"),
        "may_manage": Capability.ORGANIZATION_MANAGE in may,
        "may_close": Capability.ORGANIZATION_CLOSE in may
        and organization.kind == Organization.Kind.TEAM,
    }
    return render(request, "orgs/general.html", context, status=status)
