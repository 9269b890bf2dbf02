"""Small acts of the billing page: a promo code, a trial, asking the owner to pay."""

from django.contrib import messages
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from billing.entitlement.access import paid_action
from billing.exceptions import BillingError, PromotionRefused, StripeUnavailable, UnknownPlan
from billing.messages import requests
from billing.presentation import standing_notes
from billing.presentation.formats import day
from billing.subscription import promotions, trials
from billing.views.answers import back_to_billing, see_other, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, requires
from orgs.requests import OrgRequest


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@paid_action
def promo(request: OrgRequest, slug: str) -> HttpResponse:
    code = request.POST.get("code", "").replace("\x00", "")
    try:
        applied = promotions.apply(request.organization, request.user, code)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except (BillingError, PromotionRefused) as refusal:
        messages.error(request, str(refusal))
    else:
        with timezone.override(request.organization.time_zone):
            messages.success(request, standing_notes.applied(applied))
    return back_to_billing(slug)


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@paid_action
def trial(request: OrgRequest, slug: str) -> HttpResponse:
    try:
        effective = trials.start(request.organization, request.user, request.POST.get("tier", ""))
    except (BillingError, UnknownPlan) as refusal:
        messages.error(request, str(refusal))
    else:
        with timezone.override(request.organization.time_zone):
            until = day(effective.ends_at) if effective.ends_at else ""
            messages.success(
                request,
                _("You are trying %(plan)s until %(day)s. No card is needed.")
                % {"plan": effective.plan.name, "day": until},
            )
    return back_to_billing(slug)


@never_cache
@require_POST
@requires(Capability.ORGANIZATION_VIEW)
@open_when_locked
def notify_owner(request: OrgRequest, slug: str) -> HttpResponse:
    """For members who cannot pay: the owners get one mail a day at most."""
    if requests.ask_owner_to_pay(request.organization, request.user):
        messages.success(request, _("The owner has been told."))
    else:
        messages.info(request, _("The owner was told already."))
    return see_other(f"/o/{slug}/")
