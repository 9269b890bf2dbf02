"""The admin site: our login with its throttle, and a second factor for everybody (E12).

Floors above add pages of their own (reports, acts over the whole installation) with `add_page`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from orgs.models import User
from orgs.staff_lists import light

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, kw_only=True)
class StaffPage:
    """`permission` opens it; `title` puts it on the admin's front page, None leaves it out."""

    route: str
    name: str
    view: View
    permission: str
    title: str | Promise | None = None


_pages: dict[str, StaffPage] = {}


def add_page(page: StaffPage) -> None:
    """While apps start: the admin's URLs are read once, later. Its URL is `admin:<name>`."""
    _pages[page.name] = page


def render_page(
    request: HttpRequest, template: str, title: str | Promise, *, status: int = 200, **context: Any
) -> HttpResponse:
    """A page of ours inside the frame of the admin."""
    frame = admin.site.each_context(request)
    return render(request, template, {**frame, "title": title, **context}, status=status)


class StaffSite(AdminSite):
    site_header = site_title = "Ledgerline"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        super().register(model_or_iterable, light(admin_class), **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not _lacks_second_factor(request)

    def login(self, request: HttpRequest, extra_context: object = None) -> Any:
        """Never a second login form: it would be one more door to guard."""
        if not isinstance(request.user, User):
            return redirect_to_login(request.GET.get("next") or request.get_full_path())
        if super().has_permission(request) and _lacks_second_factor(request):
            messages.warning(request, _("Set up a second factor to enter the admin."))
            return redirect("mfa_activate_totp")
        return redirect(settings.LOGIN_REDIRECT_URL)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        own: list[URLResolver | URLPattern] = [
            path(page.route, self.admin_view(_guarded(page)), name=page.name)
            for page in _pages.values()
        ]
        return own + super().get_urls()

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Our pages stand first, as one more app of the front page and the sidebar."""
        listed = super().get_app_list(request, app_label)
        links = [] if app_label else [_link(page) for page in _pages.values() if page.title]
        links = [link for link in links if request.user.has_perm(link["permission"])]
        if not links:
            return listed
        section = {
            "name": _("Operations"),
            "app_label": "operations",
            "app_url": reverse("admin:index"),
            "has_module_perms": True,
            "models": links,
        }
        return [section, *listed]


def _guarded(page: StaffPage) -> View:
    @wraps(page.view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(page.permission):
            raise PermissionDenied
        return page.view(request, *args, **kwargs)

    return guarded


def _link(page: StaffPage) -> dict[str, Any]:
    return {
        "name": page.title,
        "object_name": page.name,
        "admin_url": reverse(f"admin:{page.name}"),
        "add_url": None,
        "view_only": True,
        "permission": page.permission,
        "perms": {"view": True},
    }


def _lacks_second_factor(request: HttpRequest) -> bool:
    return settings.ADMIN_REQUIRES_MFA and not is_mfa_enabled(request.user)
