"""Another plan, interval or number of seats: first the price, then the change; and its undoing."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing.entitlement.access import paid_action
from billing.exceptions import BillingError, StripeUnavailable
from billing.models import PlanPrice
from billing.presentation import change_page
from billing.presentation.formats import day
from billing.subscription import changes, preview
from billing.subscription.changes import Changed
from billing.subscription.wishes import Wish
from billing.views.answers import back_to_billing, see_other, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.exceptions import Unprocessable
from orgs.requests import OrgRequest


class WishForm(forms.Form):
    """What is left out stays as it is."""

    tier = forms.SlugField(max_length=64, required=False)
    interval = forms.ChoiceField(choices=PlanPrice.Interval.choices, required=False)
    currency = forms.RegexField(r"^[a-z]{3}$", required=False)
    seats = forms.IntegerField(required=False, min_value=1, max_value=100_000)
    addon = forms.SlugField(max_length=64, required=False)
    packs = forms.IntegerField(required=False, min_value=0, max_value=10_000)

    def wish(self) -> Wish:
        """Raises Unprocessable naming the first field that makes no sense."""
        if not self.is_valid():
            raise Unprocessable(
                _("This order cannot be understood."), field=next(iter(self.errors))
            )
        found = self.cleaned_data
        return Wish(
            plan_key=found["tier"] or None,
            interval=found["interval"] or None,
            currency=found["currency"] or None,
            seats=found["seats"],
            addons={found["addon"]: found["packs"] or 0} if found["addon"] else {},
        )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.BILLING_MANAGE)
@paid_action
def change(request: OrgRequest, slug: str) -> HttpResponse:
    """GET shows the price of a wish and changes nothing; POST confirms the quote it carries."""
    try:
        return _confirmed(request, slug) if request.method == "POST" else _shown(request)
    except StripeUnavailable as error:
        if request.method == "POST":
            return stripe_is_away(request, error)
        messages.error(request, str(error))
    except (BillingError, Unprocessable) as refusal:
        messages.error(request, str(refusal))
    return back_to_billing(slug)


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
def keep(request: OrgRequest, slug: str) -> HttpResponse:
    """Undoes what is scheduled, a cancellation too."""
    try:
        changes.keep(request.organization, request.user)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except BillingError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Nothing changes: your plan goes on."))
    return back_to_billing(slug)


def _shown(request: OrgRequest) -> HttpResponse:
    found = preview.of_change(request.organization, WishForm(request.GET).wish())
    with timezone.override(request.organization.time_zone):
        context = {"page": change_page.of_change(found)}
    return render(request, "billing/change.html", context)


def _confirmed(request: OrgRequest, slug: str) -> HttpResponse:
    done = changes.confirm(request.organization, request.user, request.POST.get("quote", ""))
    if done.confirm_url:
        return see_other(done.confirm_url)
    with timezone.override(request.organization.time_zone):
        messages.success(request, _sentence(done))
    return back_to_billing(slug)


def _sentence(done: Changed) -> str:
    if done.effective_at is None:
        return _("Done. You are on %(plan)s.") % {"plan": done.plan.name}
    return _("Scheduled for %(day)s.") % {"day": day(done.effective_at)}
