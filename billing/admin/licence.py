"""How this installation stands with its licence, and the button that looks again."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import tasks
from billing.entitlement.clock import database_now
from billing.licence import source, standing
from billing.licence.judgement import State
from billing.models import Installation
from orgs.admin import LookOnly
from orgs.models import Membership

_WORDS = {
    State.NOT_REQUIRED: gettext_lazy("This installation needs no licence."),
    State.VALID: gettext_lazy("The licence is valid."),
    State.GRACE: gettext_lazy("The licence has ended; the days of grace are running."),
    State.MISSING: gettext_lazy("No licence was found."),
    State.INVALID: gettext_lazy("The licence cannot be believed: it is damaged, or not ours."),
    State.OTHER_INSTANCE: gettext_lazy("The licence belongs to another installation."),
    State.OTHER_CATALOG: gettext_lazy("The licence is for another product."),
    State.UNKNOWN_PLAN: gettext_lazy("The licence names a plan that this product does not have."),
    State.NOT_STARTED: gettext_lazy("The licence has not begun yet."),
    State.EXPIRED: gettext_lazy("The licence has ended."),
    State.CLOCK_ROLLED_BACK: gettext_lazy("The clock of the database was turned back."),
}


@admin.register(Installation)
class LicenceAdmin(LookOnly, admin.ModelAdmin):
    """A page of its own: there is one row, and nothing of it is edited."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        if request.method == "POST":
            tasks.check_licence()
            self.message_user(request, _("Checked."))
            return redirect("admin:billing_installation_changelist")
        context = self.admin_site.each_context(request) | _context() | (extra_context or {})
        return TemplateResponse(request, "admin/billing/licence.html", context)


def _context() -> dict[str, Any]:
    found = standing.at(database_now())
    return {
        "title": _("Licence"),
        "found": found,
        "words": _WORDS[found.state],
        "row": Installation.objects.first(),  # the first check makes it
        "people": Membership.objects.filter(organization__closed_at=None).values("user").distinct()
        .count(),
        "keys": sorted(source.public_keys()),
        "is_unusable": not found.is_usable and found.state is not State.NOT_REQUIRED,
    }  # fmt: skip
