"""The invited person's side: look, log in, accept or decline."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from orgs import members
from orgs.accounts import INVITATION_PATH
from orgs.decorators import person_required
from orgs.models import User
from orgs.requests import PersonRequest
from orgs.views.refusals import explained


@never_cache
@require_safe
def landing(request: HttpRequest, token: str) -> HttpResponse:
    """Who holds the link learns who invites and whereto, before any login."""
    invitation = members.invitation_for(token)
    here = reverse("orgs:invitation", kwargs={"token": token})
    context = {
        "invitation": invitation,
        "token": token,
        "is_for_me": isinstance(request.user, User)
        and members.is_address_of(invitation.email, request.user),
        "login_url": f"{reverse('account_login')}?{urlencode({'next': here})}",
        "here": here,
    }
    return render(request, "orgs/invitation.html", context)


@require_POST
def sign_up(request: HttpRequest, token: str) -> HttpResponse:
    """Remembers the way back: sign-up passes through the mailbox before it returns here."""
    invitation = members.invitation_for(token)
    request.session[INVITATION_PATH] = reverse("orgs:invitation", kwargs={"token": token})
    query = urlencode({"email": invitation.email, "next": request.session[INVITATION_PATH]})
    return redirect(f"{reverse('account_signup')}?{query}")


@require_POST
@person_required
def accept(request: PersonRequest, token: str) -> HttpResponse:
    with explained(request):
        membership = members.accept(token, user=request.user)
        messages.success(
            request, _("Welcome to %(name)s.") % {"name": membership.organization.name}
        )
    return redirect("home")


@require_POST
@person_required
def decline(request: PersonRequest, token: str) -> HttpResponse:
    with explained(request):
        members.decline(token, user=request.user)
        messages.success(request, _("You have declined the invitation."))
    return redirect("home")
