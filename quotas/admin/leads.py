"""The page of high-usage leads."""

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from billing import catalog
from billing.admin.downloads import spreadsheet
from billing.catalog.amounts import format_amount
from billing.catalog.money import format_money
from billing.insight import revenue
from orgs import replica
from orgs.staff_reports import kept
from orgs.staff_site import StaffPage, add_page, render_page
from quotas.reading import leads
from quotas.reading.leads import LeadReading

_SHOWN = 100


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    return render_page(
        request,
        "staff/leads.html",
        _("High-usage leads"),
        kept=kept(request, "staff_leads"),
        rows=SimpleLazyObject(lambda: [_row(lead) for lead in leads.find()[:_SHOWN]]),
        behind=replica.behind(),
        least=leads.LEAST,
    )


@require_safe
def page_csv(request: HttpRequest) -> HttpResponse:
    return spreadsheet("leads", leads.export(leads.find()))


def _row(lead: LeadReading) -> dict[str, object]:
    meter = catalog.current().meters[lead.meter]
    paying = lead.paying
    return {
        "lead": lead,
        "meter": str(meter.name),
        "used": format_amount(lead.used, meter),
        "limit": format_amount(lead.limit, meter),
        "projected": format_amount(lead.projected, meter),
        "money": format_money(revenue.rounded(paying.amount), paying.currency) if paying else "",
    }


_LOOK = "quotas.view_lead"
add_page(
    StaffPage(
        route="leads/",
        name="leads",
        view=page,
        permission=_LOOK,
        title=gettext_lazy("High-usage leads"),
    )
)
add_page(StaffPage(route="leads.csv", name="leads-csv", view=page_csv, permission=_LOOK))
