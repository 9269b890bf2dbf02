"""The page of doctor and smoke: what was found last, and a button to look again."""

from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from billing import evidence
from billing.models import Evidence
from config.preflight import doctor
from orgs.models import User
from orgs.staff_site import StaffPage, add_page, render_page

_TONES = {"ok": "good", "warning": "warn", "failed": "bad"}
_SHOWN = 20


@require_safe
def preflight(request: HttpRequest) -> HttpResponse:
    runs = Evidence.objects.exclude(kind=Evidence.Kind.ATTACHED).defer("file").newest_first()
    return render_page(
        request,
        "staff/preflight.html",
        _("Doctor and smoke"),
        examined=_shown(evidence.latest(Evidence.Kind.DOCTOR)),
        walked=_shown(evidence.latest(Evidence.Kind.SMOKE)),
        runs=runs[:_SHOWN],
    )


@require_POST
def examine(request: HttpRequest) -> HttpResponse:
    kept = doctor.keep(doctor.examine(), author=cast(User, request.user))
    level = messages.SUCCESS if kept.passed else messages.ERROR
    messages.add_message(request, level, kept.summary)
    return redirect("admin:preflight")


def _shown(run: Evidence | None) -> dict[str, Any] | None:
    if run is None:
        return None
    found = [
        {**each, "tone": _TONES.get(each["outcome"], "")} for each in run.report.get("findings", [])
    ]
    return {"run": run, "findings": found}


add_page(
    StaffPage(
        route="preflight/",
        name="preflight",
        view=preflight,
        permission="billing.view_evidence",
        title=gettext_lazy("Doctor and smoke"),
    )
)
add_page(
    StaffPage(
        route="preflight/examine/",
        name="preflight-examine",
        view=examine,
        permission="billing.add_evidence",
    )
)
