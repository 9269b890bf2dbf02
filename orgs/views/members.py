"""Members: who is in, who is invited, and what may be done about it."""

import uuid

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from orgs import members, ports
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, requires
from orgs.forms import InvitationForm
from orgs.models import Invitation, Membership, Organization, Role
from orgs.requests import OrgRequest
from orgs.role_texts import describe_role
from orgs.views.refusals import explained

PAGE_LENGTH = 20
HEIRS_SHOWN = 50  # a longer list nobody reads: there the address is typed


@require_safe
@requires("members.view")
def page(request: OrgRequest, slug: str) -> HttpResponse:
    return _page(request)


@require_POST
@requires("members.manage")
def invite(request: OrgRequest, slug: str) -> HttpResponse:
    form = InvitationForm(request.POST, roles=list(Role))
    if not form.is_valid():
        return _page(request, invitation=form, status=422)
    with explained(request):
        invitation = members.invite(
            request.organization,
            form.cleaned_data["email"],
            form.cleaned_data["role"],
            inviter=request.user,
        )
        messages.success(request, _("Invitation sent to %(email)s.") % {"email": invitation.email})
    return redirect("orgs:members", slug=slug)


@require_POST
@requires("members.manage")
def resend(request: OrgRequest, slug: str, invitation_id: uuid.UUID) -> HttpResponse:
    invitation = _invitation(request, invitation_id)
    with explained(request):
        members.resend(invitation, actor=request.user)
        messages.success(request, _("A new link is on its way. The former one no longer works."))
    return redirect("orgs:members", slug=slug)


@require_POST
@requires("members.manage")
@open_when_locked
def revoke(request: OrgRequest, slug: str, invitation_id: uuid.UUID) -> HttpResponse:
    members.revoke_invitation(_invitation(request, invitation_id), actor=request.user)
    messages.success(request, _("The invitation no longer works."))
    return redirect("orgs:members", slug=slug)


@require_POST
@requires("members.manage")
def change_role(request: OrgRequest, slug: str, membership_id: uuid.UUID) -> HttpResponse:
    with explained(request):
        changed = members.change_role(
            _member(request, membership_id), request.POST.get("role", ""), actor=request.user
        )
        messages.success(
            request,
            _("%(person)s is now %(role)s.")
            % {"person": changed.user, "role": changed.get_role_display()},
        )
    return redirect("orgs:members", slug=slug)


@require_POST
@requires("members.manage")
@open_when_locked
def remove(request: OrgRequest, slug: str, membership_id: uuid.UUID) -> HttpResponse:
    membership = _member(request, membership_id)
    with explained(request):
        members.remove(membership, actor=request.user)
        messages.success(
            request, _("%(person)s is no longer a member.") % {"person": membership.user}
        )
    return redirect("orgs:members", slug=slug)


@require_POST
@requires("ownership.transfer")
@open_when_locked
def hand_over(request: OrgRequest, slug: str) -> HttpResponse:
    heir = _heir(request)
    if heir is None:
        messages.error(request, _("Choose the member who becomes the owner."))
        return redirect("orgs:members", slug=slug)
    with explained(request):
        receiver = members.hand_over(heir, owner=request.user)
        messages.success(
            request, _("%(person)s owns the organization now.") % {"person": receiver.user}
        )
    return redirect("orgs:members", slug=slug)


@require_POST
@requires("organization.view")
@open_when_locked
def leave(request: OrgRequest, slug: str) -> HttpResponse:
    name = request.organization.name
    with explained(request):
        members.leave(request.organization, user=request.user)
        messages.success(request, _("You have left %(name)s.") % {"name": name})
        return redirect("home")
    return redirect("orgs:members", slug=slug)


def _page(
    request: OrgRequest, *, invitation: InvitationForm | None = None, status: int = 200
) -> HttpResponse:
    organization = request.organization
    may_manage = Capability.MEMBERS_MANAGE in request.capabilities
    roles = members.grantable_roles(request.membership.role)
    people = organization.memberships.select_related("user").order_by("joined_at", "pk")
    heirs = _heirs(request)
    context = {
        "members": Paginator(people, PAGE_LENGTH).get_page(request.GET.get("page")),
        "seats": ports.seats(organization),
        "roles": roles,
        "is_team": organization.kind == Organization.Kind.TEAM,
        "may_manage": may_manage,
        "may_hand_over": Capability.OWNERSHIP_TRANSFER in request.capabilities,
        "invitation_form": invitation or InvitationForm(roles=roles),
        "invitations": _open_invitations(request) if may_manage else [],
        "heirs": heirs[:HEIRS_SHOWN],
        "has_more_heirs": len(heirs) > HEIRS_SHOWN,
        "role_descriptions": _role_descriptions(),
        "now": timezone.now(),
    }
    return render(request, "orgs/members.html", context, status=status)


def _heirs(request: OrgRequest) -> list[Membership]:
    """Whom an owner may hand the organization to, and one more than are shown."""
    if Capability.OWNERSHIP_TRANSFER not in request.capabilities:
        return []
    others = request.organization.memberships.exclude(pk=request.membership.pk)
    found = others.select_related("user").order_by("user__name", "user__email")
    return list(found[: HEIRS_SHOWN + 1])


def _heir(request: OrgRequest) -> Membership | None:
    """By the member's id, or by the address where there are too many to list."""
    if address := request.POST.get("email", "").replace("\x00", "").strip().lower():
        mine = request.organization.memberships.select_related("user", "organization")
        found: Membership | None = mine.filter(user__email=address).first()
        return found
    try:
        return _member(request, uuid.UUID(request.POST.get("member", "")))
    except ValueError:
        return None


def _role_descriptions() -> list[dict[str, object]]:
    """From the capabilities in force, so that the page cannot differ from what is enforced."""
    return [{"label": role.label, "sentence": describe_role(role)} for role in Role]


def _open_invitations(request: OrgRequest) -> "Page[Invitation]":
    newest_first = members.open_invitations(request.organization).order_by("-created_at", "pk")
    found = newest_first.select_related("invited_by")
    return Paginator(found, PAGE_LENGTH).get_page(request.GET.get("invited"))


def _member(request: OrgRequest, membership_id: uuid.UUID) -> Membership:
    """Another organization's member is not found rather than forbidden (E1)."""
    return get_object_or_404(
        Membership.objects.select_related("user", "organization"),
        pk=membership_id,
        organization=request.organization,
    )


def _invitation(request: OrgRequest, invitation_id: uuid.UUID) -> Invitation:
    return get_object_or_404(
        Invitation.objects.select_related("organization"),
        pk=invitation_id,
        organization=request.organization,
    )
