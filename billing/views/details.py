"""Where invoices go, and “Sync now”: what owners set right on the billing page itself."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from billing.exceptions import BillingError, StripeUnavailable
from billing.subscription import details, resuming, syncing
from billing.views.answers import back_to_billing, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked, requires
from orgs.requests import OrgRequest


class EmailForm(forms.Form):
    """Empty means the first owner's own address."""

    email = forms.EmailField(required=False, max_length=254)


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@open_when_locked
def change_email(request: OrgRequest, slug: str) -> HttpResponse:
    form = EmailForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Enter a valid e-mail address."))
        return back_to_billing(slug)
    changed = details.change_email(
        request.organization, request.user, form.cleaned_data["email"].lower()
    )
    messages.success(request, _("Invoices go to %(email)s.") % {"email": changed.email})
    return back_to_billing(slug)


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@open_when_locked
def sync(request: OrgRequest, slug: str) -> HttpResponse:
    """Also while locked: whoever has just paid must be able to say so."""
    try:
        found = syncing.now(request.organization, request.user)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except BillingError as refusal:
        messages.error(request, str(refusal))
        return back_to_billing(slug)
    if not found:
        messages.success(request, _("Everything here agrees with Stripe."))
    else:
        sentence = ngettext(
            "%(n)d thing was behind Stripe and is right now.",
            "%(n)d things were behind Stripe and are right now.",
            len(found),
        )
        messages.success(request, sentence % {"n": len(found)})
    return back_to_billing(slug)


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
def resume(request: OrgRequest, slug: str) -> HttpResponse:
    try:
        resuming.resume(request.organization, request.user)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except BillingError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Resumed. Your plan is back when the payment arrives."))
    return back_to_billing(slug)
