"""Why this plan: the verdict of an instant, what it was drawn from, and every limit as a sum."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from billing.entitlement import clock, history, store
from billing.models import EffectivePlan, EffectivePlanChange
from billing.presentation import why
from billing.presentation.formats import moment
from billing.presentation.why import Line
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.models import Organization
from orgs.requests import OrgRequest
from quotas.reading import why as meters

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Change:
    when: str
    at: str  # for the link to that instant
    headline: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class WhyPage:
    """`asked` is what the field shows; `unknown` says why there is nothing to show."""

    asked: str
    when: str
    is_now: bool
    unknown: str
    headline: str = ""
    until: str = ""
    access: str = ""
    cause: str = ""
    lines: tuple[Line, ...] = ()
    meters: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


@never_cache
@require_safe
@requires(Capability.BILLING_VIEW)
def page(request: OrgRequest, slug: str) -> HttpResponse:
    with timezone.override(request.organization.time_zone):
        found = of(request.organization, request.GET.get("at", ""))
        return render(request, "quotas/why.html", {"page": found})


@never_cache
@require_safe
def staff_page(request: HttpRequest, organization: UUID) -> HttpResponse:
    """The same in the admin, for every organization, the closed ones too."""
    if not request.user.has_perm("billing.view_effectiveplan"):
        raise PermissionDenied
    found = get_object_or_404(Organization, pk=organization)
    context: dict[str, Any] = admin.site.each_context(request)
    context |= {"title": _("Why this plan?"), "subject": found}
    with timezone.override(found.time_zone):
        context["page"] = of(found, request.GET.get("at", ""))
        return render(request, "admin/why.html", context)


def of(organization: Organization, asked: str) -> WhyPage:
    """For the instant that was asked for, in the organization's own zone unless it names one."""
    effective = store.current(organization)
    now = clock.now_for(organization)
    at = _instant(asked, organization)
    is_now = not asked
    shown = now if at is None else at
    field = timezone.localtime(shown).strftime("%Y-%m-%dT%H:%M")
    changes = tuple(_change(row) for row in history.recent(organization, _SHOWN))
    about: dict[str, Any] = {"asked": field, "when": moment(shown), "changes": changes}
    if asked and at is None:
        return WhyPage(**about, is_now=False, unknown=_("This is not a date and time."))
    if shown > now:
        return WhyPage(**about, is_now=False, unknown=_("That is still to come."))
    verdict = effective if is_now else history.at(organization, shown)
    if verdict is None:
        return WhyPage(**about, is_now=False, unknown=_("Nothing was known of it at that time."))
    return WhyPage(**about, is_now=is_now, unknown="", **_explained(verdict, shown, is_now=is_now))


def _explained(
    verdict: EffectivePlan | EffectivePlanChange, at: datetime, *, is_now: bool
) -> dict[str, Any]:
    reasons = meters.of(verdict, at, is_now=is_now)
    return {
        "headline": why.headline(verdict),
        "until": why.until(verdict),
        "access": verdict.get_access_display(),
        "cause": getattr(verdict, "cause", ""),
        "lines": tuple(why.lines(verdict)),
        "meters": tuple(meters.sentence(reason) for reason in reasons),
        "features": tuple(why.feature_lines(verdict).values()),
    }


def _change(row: EffectivePlanChange) -> Change:
    return Change(
        when=moment(row.at), at=row.at.isoformat(), headline=why.headline(row), cause=row.cause
    )


def _instant(text: str, organization: Organization) -> datetime | None:
    try:
        found = parse_datetime(text.strip())
    except ValueError:
        return None
    if found is not None and found.tzinfo is None:
        return found.replace(tzinfo=ZoneInfo(organization.time_zone))
    return found
