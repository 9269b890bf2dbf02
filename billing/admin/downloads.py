"""What leaves the admin as a file: tables for spreadsheets, and evidence that was attached."""

import csv
from collections.abc import Iterable
from io import StringIO

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from billing.models import Evidence
from orgs.staff_site import StaffPage, add_page


def spreadsheet(name: str, rows: Iterable[list[str]]) -> HttpResponse:
    """The rows are safe from formulas already (E13)."""
    text = StringIO()
    csv.writer(text).writerows(rows)
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def evidence_file(request: HttpRequest, object_id: int) -> HttpResponse:
    """Never shown, only saved: whatever somebody uploaded, no browser runs it (E25)."""
    found = get_object_or_404(Evidence, pk=object_id, file__isnull=False)
    response = HttpResponse(bytes(found.file or b""), content_type="application/octet-stream")
    name = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in found.file_name)
    response["Content-Disposition"] = f'attachment; filename="{name or "evidence"}"'
    response["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return response


add_page(
    StaffPage(
        route="evidence/<int:object_id>/file/",
        name="evidence-file",
        view=evidence_file,
        permission="billing.view_evidence",
    )
)
