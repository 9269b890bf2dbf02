"""The way to Stripe's own pages: cards, billing details, plan changes, cancellation."""

from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from billing.exceptions import StripeUnavailable
from billing.subscription.portal import open_portal
from billing.views.answers import see_other, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.requests import OrgRequest


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
def enter(request: OrgRequest, slug: str) -> HttpResponse:
    """The portal's URL is a bearer secret: made for this click, never stored or cached (B19)."""
    flow = request.POST.get("flow", "")
    try:
        return see_other(open_portal(request.organization, request.user, flow=flow))
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
