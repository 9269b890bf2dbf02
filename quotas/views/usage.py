"""Settings > Usage, its meters alone, and the same as a file."""

import csv
from collections.abc import Iterator

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from orgs.capabilities import Capability
from orgs.decorators import part_of, requires
from orgs.requests import OrgRequest
from quotas.reading import export
from quotas.reading.usage_page import Choice, UsagePage
from quotas.views.controls import controls_of


@never_cache
@require_safe
@requires(Capability.USAGE_VIEW_OWN)
def page(request: OrgRequest, slug: str) -> HttpResponse:
    """Who may see everybody's usage does; others see the totals and their own share."""
    found = page_of(request)
    with timezone.override(request.organization.time_zone):
        context = {"page": found, "controls": controls_of(request, found.usage)}
        return render(request, "quotas/usage.html", context)


@part_of(page)
@never_cache
@require_safe
@requires(Capability.USAGE_VIEW_OWN)
def meters(request: OrgRequest, slug: str) -> HttpResponse:
    """The cards alone, for the page to ask again, and the same meters beside the page."""
    with timezone.override(request.organization.time_zone):
        context = {"page": page_of(request), "refreshed": True}
        return render(request, "quotas/usage.html#meters", context)


class _Echo:
    """csv writes into it, and gets its own line back to stream."""

    def write(self, line: str) -> str:
        return line


@never_cache
@require_safe
@requires(Capability.USAGE_VIEW_OWN)
def download(request: OrgRequest, slug: str) -> HttpResponseBase:
    found = page_of(request)
    own = [str(request.membership.pk), str(request.membership.user_id)]
    rows = export.rows(request.organization, found.window, None if found.whole else own)
    writer = csv.writer(_Echo())
    lines: Iterator[str] = (writer.writerow(row) for row in rows)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="usage-{slug}.csv"'
    return response


def page_of(request: OrgRequest) -> UsagePage:
    return UsagePage(
        request.organization,
        request.membership,
        Choice.of(request.GET.dict()),
        whole=Capability.USAGE_VIEW in request.capabilities,
    )
