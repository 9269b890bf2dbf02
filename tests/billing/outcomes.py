"""Where an organization ended: the rows that money decides, without what may differ by order."""

from typing import Any

from django.db.models import QuerySet

from billing.entitlement import store
from orgs.models import Organization

_BY_ORDER = {"id", "organization_id"}


def outcome(organization: Organization) -> dict[str, Any]:
    """Effective plan, subscriptions, invoices and payment methods, comparable between runs."""
    effective = store.current(organization)
    verdict = (
        "source", "status", "access", "seats", "interval", "currency", "price_id",
        "subscription_id", "period_start", "period_end", "ends_at", "grace_ends_at", "reason",
    )  # fmt: skip
    return {
        "plan": effective.plan.key,
        **{name: getattr(effective, name) for name in verdict},
        "subscriptions": _rows(organization.subscriptions.order_by("stripe_id")),
        "invoices": _rows(organization.invoices.order_by("stripe_id")),
        "payment_methods": _rows(organization.payment_methods.order_by("stripe_id")),
        "intents": sorted(organization.checkout_intents.values_list("session_id", "state")),
    }


def _rows(found: QuerySet[Any]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in _BY_ORDER}
        for row in found.values()
    ]
