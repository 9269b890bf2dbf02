"""The one thing that a plan's button does for this organization, and what the button says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    subscribed: bool  # a live subscription is changed; Checkout would sell a second one
    ending: bool
    tries_it: bool  # has the plan by a trial or in beta, and may still buy it
    terms: Terms | None  # what it pays by; None where it pays nothing
    fixed_currency: str  # a customer pays in one currency for ever (B15); empty before the first
    members: int
    plan_giver: str = ""  # the team whose plan the person has, and who may buy none beside it
    trials: Mapping[str, int] = field(default_factory=dict)  # plan → days it may be tried


@dataclass(frozen=True, kw_only=True)
class Button:
    kind: Literal["current", "checkout", "change", "cancel", "contact", "none"]
    label: str
    href: str = ""
    primary: bool = False
    trial_days: int = 0


def button_for(
    catalog: Catalog, plan: SubscriptionPlan, standing: Standing, price: PlanPrice | None
) -> Button:
    if plan.key == standing.plan_key and not (standing.tries_it and price is not None):
        return _button_of_own_plan(standing, price)
    if plan.kind == SubscriptionPlan.Kind.CONTRACT and not _is_open(catalog, plan, standing, price):
        href = contact_link(catalog.contacts.sales)
        return Button(kind="contact", label=_("Talk to sales"), href=href)
    if plan.kind == SubscriptionPlan.Kind.FREE:
        return _button_to_free(plan, standing)
    if price is None:
        return Button(kind="none", label=_("Not sold on these terms"))
    return _button_to_paid(catalog, plan, standing)


def _is_open(
    catalog: Catalog, plan: SubscriptionPlan, standing: Standing, price: PlanPrice | None
) -> bool:
    return standing.subscribed and price is not None and catalog.opens(standing.plan_key, plan.key)


def _button_of_own_plan(standing: Standing, price: PlanPrice | None) -> Button:
    """Seen on other terms than those it is paid by, it can be switched to them."""
    terms = standing.terms
    if terms is None or price is None or price.interval == terms.interval or standing.ending:
        return Button(kind="current", label=_("Your plan"))
    yearly = price.interval == PlanPrice.Interval.YEAR
    label = _("Switch to yearly billing") if yearly else _("Switch to monthly billing")
    return Button(kind="change", label=label, primary=yearly)


def _button_to_free(plan: SubscriptionPlan, standing: Standing) -> Button:
    if not standing.subscribed:
        return Button(kind="none", label=_("Included in your plan"))
    if standing.ending:
        return Button(kind="none", label=_("Scheduled"))
    label = _("Downgrade to %(plan)s") % {"plan": plan.name}
    return Button(kind="cancel", label=label)


def _button_to_paid(catalog: Catalog, plan: SubscriptionPlan, standing: Standing) -> Button:
    if not standing.sells:
        return Button(kind="none", label=_("Not for sale yet"))
    if standing.plan_giver:
        label = _("Your plan comes from %(organization)s") % {"organization": standing.plan_giver}
        return Button(kind="none", label=label)
    if plan.key == standing.plan_key:
        label = _("Subscribe to %(plan)s") % {"plan": plan.name}
        return Button(kind="checkout", label=label, primary=True)
    up = _is_upgrade(catalog, plan, standing)
    label = (_("Upgrade to %(plan)s") if up else _("Downgrade to %(plan)s")) % {"plan": plan.name}
    if standing.subscribed:
        return Button(kind="change", label=label, primary=up)
    if not up:
        return Button(kind="none", label=_("Included in your plan"))
    days = standing.trials.get(plan.key, 0)
    return Button(kind="checkout", label=label, primary=True, trial_days=days)


def _is_upgrade(catalog: Catalog, plan: SubscriptionPlan, standing: Standing) -> bool:
    """From a plan that the file no longer has, every plan of the file is a step up."""
    if standing.plan_key not in catalog.plans:
        return True
    return catalog.position(plan.key) > catalog.position(standing.plan_key)


def contact_link(contact: str) -> str:
    return contact if contact.startswith("https://") else f"mailto:{contact}"
