"""A person's own API keys. The secret is on one answer only and never stored."""

from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from orgs import tokens
from orgs.decorators import open_when_locked, requires
from orgs.forms import TokenForm
from orgs.requests import OrgRequest

PAGE_LENGTH = 20


@require_http_methods(["GET", "HEAD", "POST"])
@requires("api_keys.manage")
def page(request: OrgRequest, slug: str) -> HttpResponse:
    if request.method != "POST":
        return _page(request, TokenForm())
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    days = form.lifetime_days()
    _token, secret = tokens.issue(
        request.user,
        form.cleaned_data["name"],
        scopes=form.scopes(),
        expires_at=None if days is None else timezone.now() + timedelta(days=days),
        organization=request.organization,
    )
    return _page(request, TokenForm(), secret=secret, status=201)


@require_POST
@requires("api_keys.manage")
@open_when_locked
def revoke(request: OrgRequest, slug: str, token_id: int) -> HttpResponse:
    token = get_object_or_404(request.user.api_tokens, pk=token_id)
    tokens.revoke(token, actor=request.user, organization=request.organization)
    messages.success(request, _("The key no longer works."))
    return redirect("orgs:api-keys", slug=slug)


def _page(
    request: OrgRequest, form: TokenForm, *, secret: str = "", status: int = 200
) -> HttpResponse:
    mine = Paginator(tokens.of_person(request.user), PAGE_LENGTH)
    context = {"form": form, "tokens": mine.get_page(request.GET.get("page")), "secret": secret}
    return render(request, "orgs/api_keys.html", context, status=status)
