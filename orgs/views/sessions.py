"""Where a person is signed in, and an end to each of it."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from orgs import sessions
from orgs.decorators import person_required
from orgs.requests import PersonRequest
from orgs.views.owned_data import has_proved_lately


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def page(request: PersonRequest) -> HttpResponse:
    own = sessions.hashed(str(request.session.session_key))
    if request.method == "POST":
        return _end(request, own)
    context = {"sessions": sessions.of_person(request.user), "own": own}
    return render(request, "orgs/sessions.html", context)


def _end(request: PersonRequest, own: str) -> HttpResponse:
    """Who sits at a forgotten screen cannot shut its owner out."""
    if not has_proved_lately(request):
        messages.info(request, _("Please confirm that it is you, then end it once more."))
        asked = urlencode({"next": reverse("orgs:sessions")})
        return redirect(f"{reverse('account_reauthenticate')}?{asked}")
    ended = sessions.end(request.user, but=own, only=request.POST.get("session", ""))
    told = ngettext("%(number)d session has ended.", "%(number)d sessions have ended.", ended)
    messages.success(request, told % {"number": ended})
    return redirect("orgs:sessions")
