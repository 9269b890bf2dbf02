"""Settings > Billing, and its plan table alone."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.http import replace_url

from billing import catalog
from billing.insight import visits
from billing.presentation import billing_page
from billing.presentation.buttons import Terms, contact_link
from orgs import current as current_organization
from orgs import impersonation
from orgs.capabilities import Capability
from orgs.decorators import part_of, person_required, requires
from orgs.requests import OrgRequest, PersonRequest


@require_safe
@person_required
def current(request: PersonRequest) -> HttpResponse:
    membership = current_organization.membership_in(request.user, None)
    return redirect("billing:settings", slug=membership.organization.slug)


@never_cache
@require_safe
@requires(Capability.BILLING_VIEW)
def page(request: OrgRequest, slug: str) -> HttpResponse:
    if impersonation.of(request) is None:
        visits.note(request.organization)
    context = {
        "page": billing_page.of(request.organization, _terms(request)),
        "may_pay": Capability.BILLING_MANAGE in request.capabilities,
        "was_cancelled": request.GET.get("checkout") == "cancelled",
        "support": contact_link(catalog.current().contacts.support),
    }
    return render(request, "billing/page.html", context)


@part_of(page)
@never_cache
@require_safe
@requires(Capability.BILLING_VIEW)
def plans(request: OrgRequest, slug: str) -> HttpResponse:
    """The plan table alone; the address bar keeps the page's own URL, with the terms chosen."""
    matrix = billing_page.matrix_of(request.organization, _terms(request))
    context = {"matrix": matrix, "may_pay": Capability.BILLING_MANAGE in request.capabilities}
    response = render(request, "billing/page.html#plans-table", context)
    query = urlencode({"interval": matrix.terms.interval, "currency": matrix.terms.currency})
    return replace_url(response, f"{reverse('billing:settings', kwargs={'slug': slug})}?{query}")


def _terms(request: HttpRequest) -> Terms:
    return Terms(interval=request.GET.get("interval", ""), currency=request.GET.get("currency", ""))
