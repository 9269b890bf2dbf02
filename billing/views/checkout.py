"""To Stripe's Checkout and back."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from billing import catalog
from billing.exceptions import (
    AccountLocked,
    AlreadySubscribed,
    CurrencyFixed,
    OrderReplaced,
    PaymentRequired,
    PlanNotForYou,
    StripeUnavailable,
)
from billing.models import PlanPrice
from billing.presentation import return_page
from billing.presentation.buttons import contact_link
from billing.subscription import checkout
from billing.subscription.opening import CheckoutNotOpen
from billing.views.answers import back_to_billing, see_other, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, part_of, requires, settles_when_read
from orgs.exceptions import Unprocessable
from orgs.requests import OrgRequest

# The page that they lead back to has what to do about it: a bill to pay, a plan to change.
_EXPLAINED = (
    AccountLocked,
    AlreadySubscribed,
    CheckoutNotOpen,
    CurrencyFixed,
    OrderReplaced,
    PaymentRequired,
    PlanNotForYou,
)


class OrderForm(forms.Form):
    """A wish, no more: `checkout.start` maps it to a price of ours and judges the seats (B11)."""

    tier = forms.SlugField(max_length=64)
    interval = forms.ChoiceField(choices=PlanPrice.Interval.choices)
    currency = forms.RegexField(r"^[a-z]{3}$")
    seats = forms.IntegerField(required=False, min_value=1)

    def order(self) -> checkout.Order:
        """Raises Unprocessable naming the first field that makes no sense."""
        if not self.is_valid():
            raise Unprocessable(
                _("This order cannot be understood."), field=next(iter(self.errors))
            )
        wish = self.cleaned_data
        return checkout.Order(
            plan_key=wish["tier"],
            interval=wish["interval"],
            currency=wish["currency"],
            seats=wish["seats"],
        )


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@open_when_locked
def start(request: OrgRequest, slug: str) -> HttpResponse:
    order = OrderForm(request.POST).order()
    try:
        intent = checkout.start(request.organization, request.user, order)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except _EXPLAINED as refusal:
        messages.error(request, str(refusal))
        return back_to_billing(slug)
    return see_other(intent.url)


@never_cache
@require_safe
@requires(Capability.BILLING_MANAGE)
@settles_when_read
def returned(request: OrgRequest, slug: str) -> HttpResponse:
    """Settles the session they come back with, so that who paid never sees the free plan (B4)."""
    return render(request, "billing/return.html", {"outcome": _outcome(request, slug)})


@part_of(returned)
@never_cache
@require_safe
@requires(Capability.BILLING_MANAGE)
@settles_when_read
def state(request: OrgRequest, slug: str) -> HttpResponse:
    """The same answer without the page around it, for the page to ask again."""
    return render(request, "billing/return.html#state", {"outcome": _outcome(request, slug)})


def _outcome(request: OrgRequest, slug: str) -> return_page.Outcome:
    session_id = request.GET.get("session_id", "")
    settled = (
        checkout.settle(request.organization, session_id) if session_id.isprintable() else None
    )
    if settled is None:
        raise Http404
    support = contact_link(catalog.current().contacts.support)
    visit = return_page.Visit(
        slug=slug, session_id=session_id, asked=_asked(request), support=support
    )
    return return_page.of(settled, visit)


def _asked(request: HttpRequest) -> int:
    """How often the page has asked already; nonsense counts as often enough."""
    text = request.GET.get("asked", "0")
    return int(text) if text in map(str, range(return_page.POLLS)) else return_page.POLLS
