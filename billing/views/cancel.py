"""Leaving: what is lost and when, then the act. Open while locked: nobody is held captive."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from billing.exceptions import BillingError, StripeUnavailable
from billing.presentation import change_page
from billing.presentation.formats import day
from billing.subscription import cancellation
from billing.views.answers import back_to_billing, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, requires
from orgs.requests import OrgRequest


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.BILLING_MANAGE)
@open_when_locked
def cancel(request: OrgRequest, slug: str) -> HttpResponse:
    """GET shows what cancelling does; POST cancels, with a reason if one was given."""
    try:
        if request.method != "POST":
            return _shown(request)
        _cancel(request)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except BillingError as refusal:
        messages.error(request, str(refusal))
    return back_to_billing(slug)


def _shown(request: OrgRequest) -> HttpResponse:
    found = cancellation.preview(request.organization)
    with timezone.override(request.organization.time_zone):
        context = {"page": change_page.of_cancellation(found)}
    return render(request, "billing/cancel.html", context)


def _cancel(request: OrgRequest) -> None:
    ends_at = cancellation.cancel(
        request.organization,
        request.user,
        reason=request.POST.get("reason", ""),
        comment=request.POST.get("comment", "").replace("\x00", ""),
    )
    with timezone.override(request.organization.time_zone):
        messages.success(request, _("Cancelled. It ends on %(day)s.") % {"day": day(ends_at)})
