"""Settings > Pricing: the plan that applies, where it comes from and what it opens."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from billing.presentation import pricing_page
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.requests import OrgRequest


@never_cache
@require_safe
@requires(Capability.BILLING_VIEW)
def page(request: OrgRequest, slug: str) -> HttpResponse:
    found = pricing_page.of(request.organization, for_staff=request.user.is_staff)
    context = {"page": found, "may_pay": Capability.BILLING_MANAGE in request.capabilities}
    return render(request, "billing/pricing.html", context)
