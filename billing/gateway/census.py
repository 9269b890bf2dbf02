"""Who is at Stripe already: every customer with its subscriptions, read in pages."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from billing.entitlement import store
from billing.gateway import own_rows, stripe_api
from billing.gateway.webhooks import processing
from billing.models import BillingAccount
from orgs.models import Organization

_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A customer as Stripe has it. `subscriptions` are fields of our own rows, ended ones too."""

    id: str
    email: str
    metadata: dict[str, str]
    livemode: bool
    currency: str
    test_clock: str
    subscriptions: tuple[dict[str, Any], ...] = field(default=())


def residents() -> Iterator[Resident]:
    """Customers on test clocks are left out by Stripe: they are nobody's real customers."""
    subscriptions = _subscriptions()
    with stripe_api.translated("customers.list"):
        page = stripe_api.client().v1.customers.list({"limit": _PAGE})
        for customer in page.auto_paging_iter():
            found = customer.to_dict()
            yield Resident(
                id=found["id"],
                email=(found.get("email") or "").lower(),
                metadata=dict(found.get("metadata") or {}),
                livemode=bool(found.get("livemode")),
                currency=found.get("currency") or "",
                test_clock=found.get("test_clock") or "",
                subscriptions=tuple(subscriptions.get(found["id"], [])),
            )


def take_in(account: BillingAccount, organization: Organization) -> bool:
    """Tells Stripe whose the customer is, and brings everything of it here. Safe to repeat.

    False while another worker has the customer.
    """
    stripe_api.update_customer(
        account.stripe_customer_id or "",
        {"metadata": {"organization": str(organization.pk), "slug": organization.slug}},
    )
    if not processing.resync(account, cause="adopted"):
        return False
    # Its clock may have changed without its plan; whoever copies the clock must hear of it.
    store.refresh(organization, cause="adopted")
    return True


def _subscriptions() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with stripe_api.translated("subscriptions.list"):
        page = stripe_api.client().v1.subscriptions.list({"status": "all", "limit": _PAGE})
        for subscription in page.auto_paging_iter():
            row = own_rows.subscription_fields(subscription.to_dict(for_json=True))
            found[row["customer_id"]].append(row)
    return found
