"""The one thing that a plan's button does for this organization, and what the button says."""

from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext as _

from billing.catalog import Catalog
from billing.models import PlanPrice, SubscriptionPlan


@dataclass(frozen=True, kw_only=True)
class Terms:
    interval: str
    currency: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an organization has now, as far as it decides what a button may offer."""

    kind: str  # of the organization: some plans are for teams alone
    sells: bool  # this installation is connected to Stripe
    plan_key: str
    subscribed: bool  # a live subscription: changes go through Stripe's portal, not Checkout
    ending: bool
    tries_it: bool  # has the plan by a trial or in beta, and may still buy it
    terms: Terms | None  # what it pays by; None where it pays nothing
    fixed_currency: str  # a customer pays in one currency for ever (B15); empty before the first
    members: int


@dataclass(frozen=True, kw_only=True)
class Button:
    kind: Literal["current", "checkout", "portal", "contact", "none"]
    label: str
    flow: str = ""
    href: str = ""
    primary: bool = False


def button_for(
    catalog: Catalog, plan: SubscriptionPlan, standing: Standing, price: PlanPrice | None
) -> Button:
    if plan.key == standing.plan_key and not (standing.tries_it and price is not None):
        return Button(kind="current", label=_("Your plan"))
    if plan.kind == SubscriptionPlan.Kind.CONTRACT:
        href = contact_link(catalog.contacts.sales)
        return Button(kind="contact", label=_("Talk to sales"), href=href)
    if plan.kind == SubscriptionPlan.Kind.FREE:
        return _button_to_free(plan, standing)
    if price is None:
        return Button(kind="none", label=_("Not sold on these terms"))
    return _button_to_paid(catalog, plan, standing)


def _button_to_free(plan: SubscriptionPlan, standing: Standing) -> Button:
    if not standing.subscribed:
        return Button(kind="none", label=_("Included in your plan"))
    if standing.ending:
        return Button(kind="none", label=_("Scheduled"))
    label = _("Downgrade to %(plan)s") % {"plan": plan.name}
    return Button(kind="portal", label=label, flow="subscription_cancel")


def _button_to_paid(catalog: Catalog, plan: SubscriptionPlan, standing: Standing) -> Button:
    if not standing.sells:
        return Button(kind="none", label=_("Not for sale yet"))
    if plan.key == standing.plan_key:
        label = _("Subscribe to %(plan)s") % {"plan": plan.name}
        return Button(kind="checkout", label=label, primary=True)
    up = _is_upgrade(catalog, plan, standing)
    label = (_("Upgrade to %(plan)s") if up else _("Downgrade to %(plan)s")) % {"plan": plan.name}
    if standing.subscribed:
        return Button(kind="portal", label=label, flow="subscription_update", primary=up)
    if not up:
        return Button(kind="none", label=_("Included in your plan"))
    return Button(kind="checkout", label=label, primary=True)


def _is_upgrade(catalog: Catalog, plan: SubscriptionPlan, standing: Standing) -> bool:
    """From a plan that the file no longer has, every plan of the file is a step up."""
    if standing.plan_key not in catalog.plans:
        return True
    return catalog.position(plan.key) > catalog.position(standing.plan_key)


def contact_link(contact: str) -> str:
    return contact if contact.startswith("https://") else f"mailto:{contact}"
