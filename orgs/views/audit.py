"""The audit log of an organization, on a page and as CSV."""

import csv
import re
from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from orgs import audit_log
from orgs.audit_log import Filter
from orgs.audit_texts import changes_of, text_for
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.forms import AuditFilterForm
from orgs.models import AuditEntry
from orgs.requests import OrgRequest

PAGE_LENGTH = 50
_CURSOR = re.compile(r"[0-9]{1,18}")


@require_safe
@requires("audit.view")
def page(request: OrgRequest, slug: str) -> HttpResponse:
    """Pages by the last entry seen, so that the thousandth page costs what the first does."""
    form = AuditFilterForm(request.GET)
    found = audit_log.entries(request.organization, _filter(request, form))
    shown = list(_before(found, request.GET.get("before", ""))[: PAGE_LENGTH + 1])
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "form": form,
        "rows": [_row(entry) for entry in shown[:PAGE_LENGTH]],
        "older": shown[PAGE_LENGTH - 1].pk if len(shown) > PAGE_LENGTH else None,
        "query": query.urlencode(),
    }
    return render(request, "orgs/audit.html", context)


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {"entry": entry, "text": text_for(entry.action), "changes": changes_of(entry)}


class _Echo:
    """csv writes into it, and gets its own line back to stream."""

    def write(self, line: str) -> str:
        return line


@require_safe
@requires("audit.view")
def export(request: OrgRequest, slug: str) -> HttpResponseBase:
    found = audit_log.entries(request.organization, _filter(request, AuditFilterForm(request.GET)))
    writer = csv.writer(_Echo())
    lines: Iterator[str] = (writer.writerow(row) for row in audit_log.export(found))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{slug}.csv"'
    return response


def _filter(request: OrgRequest, form: AuditFilterForm) -> Filter:
    return Filter(
        action=form.value("action"),
        actor=form.value("actor"),
        since=form.day("since"),
        until=form.day("until"),
        money=Capability.BILLING_VIEW in request.capabilities,
    )


def _before(found: QuerySet[AuditEntry], cursor: str) -> QuerySet[AuditEntry]:
    """An unreadable or foreign cursor means the newest page."""
    if not _CURSOR.fullmatch(cursor):
        return found
    last = found.filter(pk=int(cursor)).values_list("at", flat=True).first()
    if last is None:
        return found
    return found.filter(Q(at__lt=last) | Q(at=last, pk__lt=int(cursor)))
