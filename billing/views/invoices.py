"""All invoices as one file."""

from csv import writer

from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from billing.presentation import invoices
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.requests import OrgRequest


@never_cache
@require_safe
@requires(Capability.BILLING_VIEW)
def csv(request: OrgRequest, slug: str) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="invoices-{slug}.csv"'
    writer(response).writerows(invoices.csv_rows(request.organization))
    return response
