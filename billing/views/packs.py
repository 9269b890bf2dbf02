"""Packs of prepaid units: to Stripe's Checkout and back. Add-ons are a change like any other."""

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from billing import catalog
from billing.entitlement.access import paid_action
from billing.exceptions import BillingError, StripeUnavailable
from billing.models import PackPurchase
from billing.subscription import credit_packs, holding
from billing.views.answers import back_to_billing, see_other, stripe_is_away
from orgs.capabilities import Capability
from orgs.decorators import requires, settles_when_read
from orgs.requests import OrgRequest


@never_cache
@require_POST
@requires(Capability.BILLING_MANAGE)
@paid_action
def buy(request: OrgRequest, slug: str) -> HttpResponse:
    pack = request.POST.get("pack", "").replace("\x00", "")[:64]
    try:
        purchase = credit_packs.start(request.organization, request.user, pack)
    except StripeUnavailable as error:
        return stripe_is_away(request, error)
    except BillingError as refusal:
        messages.error(request, str(refusal))
        return back_to_billing(slug)
    return see_other(purchase.url)


@never_cache
@require_safe
@requires(Capability.BILLING_MANAGE)
@settles_when_read
def returned(request: OrgRequest, slug: str) -> HttpResponse:
    """Settles the session they come back with; the billing page then shows the credits."""
    session_id = request.GET.get("session_id", "").replace("\x00", "")
    try:
        purchase = credit_packs.settle(request.organization, session_id)
    except BillingError:
        messages.info(
            request, _("Stripe does not answer right now. Your credits follow by themselves.")
        )
        return back_to_billing(slug)
    if purchase is None:
        return back_to_billing(slug)
    if purchase.state == PackPurchase.State.PAID:
        holding.bring_up_to_date(request.organization, cause="pack paid")  # its invoice, too
        messages.success(request, _("Paid. %(pack)s are yours.") % {"pack": _name(purchase)})
    elif purchase.state == PackPurchase.State.EXPIRED:
        messages.error(request, _("The payment was not finished. Nothing was charged."))
    else:
        messages.info(request, _("The credits follow when the payment arrives."))
    return back_to_billing(slug)


def _name(purchase: PackPurchase) -> str:
    entry = catalog.current().credit_packs.get(purchase.price.key)
    return str(entry.name) if entry is not None else purchase.price.key
