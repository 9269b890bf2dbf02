"""The way to Stripe's own pages: cards, billing details, plan changes, cancellation."""

from django.contrib import messages
from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from billing.exceptions import NoCustomer, StripeUnavailable
from billing.subscription.portal import FLOWS, open_portal
from billing.views.answers import back_to_billing, see_other, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, requires
from orgs.requests import OrgRequest


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@open_when_locked
def enter(request: OrgRequest, slug: str) -> HttpResponse:
    """The portal's URL is a bearer secret: made for this click, never stored or cached (B19)."""
    wanted = request.POST.get("flow")
    flow = wanted if wanted in FLOWS else None
    try:
        url = open_portal(request.organization, request.user, flow=flow)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except NoCustomer as refusal:
        messages.error(request, str(refusal))
        return back_to_billing(slug)
    return see_other(url)
