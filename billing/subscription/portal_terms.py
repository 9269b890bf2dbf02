"""What Stripe's portal lets people do, from the catalogue's policy: one configuration per policy.

https://docs.stripe.com/customer-management/configure-portal
"""

import hashlib
import json
from typing import Any, Final

from billing import catalog
from billing.catalog.policies import Cancellation, Portal, Transitions
from billing.gateway import stripe_api
from billing.models import SubscriptionPlan
from billing.subscription import cancellation, preview
from orgs.models import Organization

_MOST_PRODUCTS: Final = 10  # Stripe's own limit


def configuration_for(organization: Organization) -> str:
    """Stripe's id of the configuration for this organization's plan, made where it is missing."""
    features = _features(_plan_key(organization), organization.kind)
    digest = hashlib.sha256(json.dumps(features, sort_keys=True).encode()).hexdigest()
    return stripe_api.portal_configuration(features, digest=digest)


def _plan_key(organization: Organization) -> str:
    """Of what is subscribed to; a plan that the file no longer has follows the general policy."""
    prices = organization.subscriptions.standing().values("price_id")
    found = SubscriptionPlan.objects.filter(prices__stripe_price_id__in=prices).first()
    return found.key if found is not None and found.key in catalog.current().plans else ""


def _features(plan_key: str, kind: str) -> dict[str, Any]:
    sold = catalog.current()
    policy = sold.portal_of(plan_key) if plan_key else sold.portal
    leaving = sold.cancellation_of(plan_key) if plan_key else sold.cancellation
    return {
        "customer_update": {
            "enabled": policy.billing_details,
            "allowed_updates": ["address", "email", "name", "tax_id"],
        },
        "invoice_history": {"enabled": policy.invoices},
        "payment_method_update": {"enabled": policy.payment_methods},
        "subscription_cancel": _cancel(policy, leaving),
        "subscription_update": _update(policy, sold.transitions, kind),
    }


def _cancel(policy: Portal, leaving: Cancellation) -> dict[str, Any]:
    at_once = leaving.when == "at_once"
    returns = at_once and leaving.refund == "prorated"
    return {
        "enabled": policy.cancel,
        "mode": "immediately" if at_once else "at_period_end",
        "proration_behavior": "create_prorations" if returns else "none",
        "cancellation_reason": {
            "enabled": leaving.ask_reason,
            "options": sorted(cancellation.REASONS),
        },
    }


def _update(policy: Portal, transitions: Transitions, kind: str) -> dict[str, Any]:
    allowed = [
        name
        for name, offered in (
            ("price", policy.change_plan),
            ("promotion_code", policy.promotion_codes),
            ("quantity", policy.change_seats),
        )
        if offered
    ]
    products = _products(kind) if allowed else []
    if not products:
        return {"enabled": False}
    waits = ["decreasing_item_amount"] if transitions.downgrade.when == "period_end" else []
    if transitions.to_monthly.when == "period_end":
        waits.append("shortening_interval")
    return {
        "enabled": True,
        "default_allowed_updates": allowed,
        "products": products,
        "proration_behavior": preview.STRIPES_WORD[transitions.upgrade.proration],
        "schedule_at_period_end": {"conditions": [{"type": condition} for condition in waits]},
    }


def _products(kind: str) -> list[dict[str, Any]]:
    """What may be bought without talking to anybody."""
    sold = catalog.current()
    plans = SubscriptionPlan.objects.of_catalog(sold.key).on_sale().in_order().with_terms()
    found = []
    for plan in plans.filter(kind=SubscriptionPlan.Kind.PAID).exclude(stripe_product_id=None):
        prices = [
            price.stripe_price_id
            for price in plan.prices.all()
            if price.archived_at is None and price.stripe_price_id
        ]
        if prices and plan.key in sold.plans and kind in sold.plans[plan.key].audience:
            found.append({"product": plan.stripe_product_id, "prices": sorted(prices)})
    return found[:_MOST_PRODUCTS]
