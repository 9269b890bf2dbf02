"""The admin site: our login with its throttle, and a second factor for everybody (E12)."""

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from orgs.models import User


class StaffSite(AdminSite):
    site_header = site_title = "Ledgerline"

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not _lacks_second_factor(request)

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """Never a second login form: it would be one more door to guard."""
        if not isinstance(request.user, User):
            return redirect_to_login(request.GET.get("next") or request.get_full_path())
        if super().has_permission(request) and _lacks_second_factor(request):
            messages.warning(request, _("Set up a second factor to enter the admin."))
            return redirect("mfa_activate_totp")
        return redirect(settings.LOGIN_REDIRECT_URL)


def _lacks_second_factor(request: HttpRequest) -> bool:
    return settings.ADMIN_REQUIRES_MFA and not is_mfa_enabled(request.user)
