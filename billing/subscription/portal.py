"""Stripe's customer portal, opened for the right customer. Its URL is a bearer secret (B19)."""

from typing import Any, Literal

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.entitlement import store
from billing.exceptions import NoCustomer
from billing.gateway import stripe_api
from billing.models import BillingAccount
from billing.subscription import portal_terms
from orgs import audit, capabilities
from orgs.capabilities import Capability
from orgs.decorators import require
from orgs.exceptions import NotAllowed
from orgs.models import Membership, Organization, User

Flow = Literal["payment_method_update", "subscription_cancel", "subscription_update"]
FLOWS: tuple[Flow, ...] = ("payment_method_update", "subscription_cancel", "subscription_update")


def open_portal(organization: Organization, person: User, *, flow: str | None = None) -> str:
    """The portal's URL for this organization; `flow` opens one of Stripe's deep links.

    Raises NoCustomer before the first payment, StripeUnavailable and StripeRefused.
    """
    account = BillingAccount.objects.filter(organization=organization).first()
    if account is None or account.stripe_customer_id is None:
        raise NoCustomer(_("There is nothing to manage at Stripe yet."))
    params: dict[str, Any] = {
        "customer": account.stripe_customer_id,
        "return_url": settings.SITE_URL + reverse("billing:settings", args=[organization.slug]),
        "locale": organization.language,
        "configuration": portal_terms.configuration_for(organization),
    }
    if flow is not None:
        params["flow_data"] = _flow(organization, flow)
    url = stripe_api.create_portal_session(params)
    audit.record(
        "billing.portal_opened", organization=organization, actor=person, target=flow or ""
    )
    return url


def _flow(organization: Organization, flow: str) -> dict[str, Any]:
    """A customer may have several subscriptions; the one that grants the plan is meant."""
    if flow == "payment_method_update":
        return {"type": flow}
    granting = store.current(organization).subscription_id
    live = organization.subscriptions.live().order_by("created_at", "stripe_id")
    subscription = live.filter(stripe_id=granting).first() or live.first()
    if subscription is None:
        raise NoCustomer(_("There is no subscription to change."))
    return {"type": flow, flow: {"subscription": subscription.stripe_id}}


def organization_of_scope(person: User, membership: Membership, scope: str) -> Organization:
    """Document 000: `org` is for those who manage its billing, `personal` is one's own.

    `auto` is the organization's where the role allows it, else the personal one.
    """
    manages = Capability.BILLING_MANAGE in capabilities.of(membership)
    team = membership.organization.kind == Organization.Kind.TEAM
    if scope == "org" and not team:
        raise NotAllowed(_("This is not an organization. Name the one whose billing you manage."))
    if scope == "org" or (scope == "auto" and manages):
        require(capabilities.of(membership), Capability.BILLING_MANAGE)
        return membership.organization
    personal = (
        Organization.objects.of_member(person).filter(kind=Organization.Kind.PERSONAL).first()
    )
    if personal is None or not personal.subscriptions.live().exists():
        raise NotAllowed(_("You have no personal subscription to manage."))
    return personal
