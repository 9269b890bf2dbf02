"""A resync that says what it changed: rows that were behind Stripe are drift."""

from typing import Any, Final

from django.db import transaction

from billing.gateway import locks
from billing.gateway.webhooks import processing
from billing.insight import drift
from billing.insight.drift import Difference
from billing.models import BillingAccount
from orgs.models import Organization

_COMPARED: Final = {
    "subscriptions": (
        "status", "price_id", "quantity", "cancel_at", "cancel_at_period_end",
        "current_period_end", "paused",
    ),
    "invoices": ("status", "amount_remaining", "amount_refunded", "dispute_status"),
    "payment_methods": ("exp_month", "exp_year"),
}  # fmt: skip
Rows = dict[str, dict[str, Any]]


def resync(account: BillingAccount, *, cause: str) -> list[Difference] | None:
    """None while another worker has the customer. Raises BillingError where Stripe fails.

    What waits in the inbox is applied first: it arrived, so it is no drift.
    """
    customer_id = account.stripe_customer_id
    if customer_id is None:
        return []
    processing.drain(customer_id)
    with transaction.atomic():
        if not locks.try_customer(customer_id):
            return None
        before = _rows(account.organization)
        processing.resync(account, cause=cause)
        differences = list(_differences(before, _rows(account.organization)))
        for one in differences:
            drift.found(
                drift.Kind.STALE,
                one.subject,
                organization=account.organization,
                cause=cause,
                detail=one.fields,
            )
    return differences


def _rows(organization: Organization) -> Rows:
    found: Rows = {}
    for name, fields in _COMPARED.items():
        for row in getattr(organization, name).values("stripe_id", *fields):
            found[row.pop("stripe_id")] = {key: _plain(value) for key, value in row.items()}
    return found


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _differences(before: Rows, after: Rows) -> Any:
    for subject in sorted(before.keys() | after.keys()):
        ours, theirs = before.get(subject, {}), after.get(subject, {})
        fields = {
            name: [ours.get(name), theirs.get(name)]
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        }
        if fields:
            yield Difference(subject=subject, fields=fields)
