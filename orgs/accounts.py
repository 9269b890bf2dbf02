"""Sign-up, login and account mails: what we ask of allauth beyond its defaults."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.sites.requests import RequestSite
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language_from_request

from orgs.clients import client_ip
from orgs.models import User

INVITATION_PATH = "invitation_path"  # session key: where an invited person comes back to


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """The personal organization itself is made with the user's row, in the same transaction."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """A closed house still lets in whom somebody has invited."""
        return settings.SIGNUP_OPEN or INVITATION_PATH in request.session

    def save_user(
        self,
        request: HttpRequest,
        user: User,
        form: BaseForm,
        commit: bool = True,  # noqa: FBT001, FBT002  allauth's signature
    ) -> User:
        user.language = get_language_from_request(request)
        super().save_user(request, user, form, commit=False)
        user.email = user.email.lower()
        if commit:
            user.save()
        return user

    def clean_email(self, email: str) -> str:
        return str(super().clean_email(email)).lower()

    def is_safe_url(self, url: str | None) -> bool:
        """Only our own paths: allauth would allow every host of ALLOWED_HOSTS (B13)."""
        return bool(url) and url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        invited_to = request.session.pop(INVITATION_PATH, "")
        if invited_to and self.is_safe_url(invited_to):
            return str(invited_to)
        return str(super().get_login_redirect_url(request))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Links lead to SITE_URL: a forged Host header must not send a reset token away (E23)."""
        safe = {key: _at_our_site(key, value) for key, value in context.items()}
        message = self.render_mail(
            template_prefix,
            email,
            {"request": self.request, "email": email, "current_site": _OurSite()} | safe,
        )
        message.send()

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_ip(request)


class _OurSite(RequestSite):
    """The name and host that mails show, whatever host the request claimed."""

    def __init__(self) -> None:
        self.domain = urlsplit(settings.SITE_URL).netloc
        self.name = "Ledgerline"


def throttled_login(request: HttpRequest | None, credentials: dict[str, Any] | None) -> str:
    """For django-axes: allauth's login sends `email`, Django's admin and tests `username`."""
    given = credentials or {}
    name = given.get("email") or given.get("username")
    if not name and request is not None:
        name = request.POST.get("login") or request.POST.get("username")
    return str(name or "").strip().lower()[:254]


def locked_out(
    request: HttpRequest, _response: HttpResponse | None, _credentials: dict[str, Any] | None
) -> HttpResponse:
    """For django-axes: the page instead of its plain sentence."""
    seconds = round(settings.AXES_COOLOFF_TIME.total_seconds())
    context = {"minutes": seconds // 60}
    response = render(request, "orgs/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response


def _at_our_site(key: str, value: Any) -> Any:
    if not key.endswith("_url") or not isinstance(value, str):
        return value
    path = urlsplit(value)
    site = urlsplit(settings.SITE_URL)
    return urlunsplit((site.scheme, site.netloc, path.path, path.query, path.fragment))
