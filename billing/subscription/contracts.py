"""Terms that sales agree to: a plan paid by invoice, with days to pay and a purchase order.

https://docs.stripe.com/billing/subscriptions/overview#collection-method
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from billing import catalog
from billing.exceptions import ContractTermsRefused, NotConfigured, NotSubscribed
from billing.gateway import stripe_api
from billing.models import PlanPrice, SubscriptionPlan
from billing.subscription import changes, checkout, customers, holding, preview
from billing.subscription.checkout import Order
from billing.subscription.holding import Holding
from orgs import audit
from orgs.models import Organization, User

_LONGEST_ORDER: Final = 30  # Stripe prints no longer value on an invoice
_LINK: Final = re.compile(r"https://\S+")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """`documents`: name → link, of those that the catalogue says are available.

    Without a country Stripe must know the address already, or it cannot compute the tax.
    """

    plan_key: str
    interval: str = "year"
    currency: str = ""
    seats: int | None = None
    net_days: int = 30
    purchase_order: str = ""
    country: str = ""
    postal_code: str = ""
    documents: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def agree(
    organization: Organization, agreement: Agreement, *, actor: User | audit.Actor
) -> SubscriptionPlan:
    """Subscribes at Stripe, or changes what is there by the catalogue's policy for that step.

    Raises ContractTermsRefused, UnknownPlan, and Stripe's troubles.
    """
    _check(agreement)
    holding.lock(organization)
    account = customers.ensure(organization)
    if account.stripe_customer_id is None:
        raise NotConfigured(_("Payments are not set up on this installation."))
    price, seats = checkout.quote(_order(organization, agreement), by_contract=True)
    if about := _about_customer(agreement):
        stripe_api.update_customer(account.stripe_customer_id, about)
    terms = {"collection_method": "send_invoice", "days_until_due": agreement.net_days}
    try:
        held = holding.of(organization)
    except NotSubscribed:
        _begin(organization, account.stripe_customer_id, price, seats, terms)
    else:
        _change(held, price, seats, terms)
    _record(organization, agreement, actor)
    holding.bring_up_to_date(organization, cause="contract agreed")
    return price.plan


def _check(agreement: Agreement) -> None:
    offered = catalog.current().contracts
    if agreement.net_days not in offered.net_days:
        days = ", ".join(str(one) for one in offered.net_days)
        raise ContractTermsRefused(
            _("Invoices are due after %(days)s days.") % {"days": days}, field="net_days"
        )
    if agreement.purchase_order and not offered.purchase_orders:
        raise ContractTermsRefused(_("Purchase orders are not offered."), field="purchase_order")
    if len(agreement.purchase_order) > _LONGEST_ORDER:
        raise ContractTermsRefused(
            _("At most %(most)s characters.") % {"most": _LONGEST_ORDER}, field="purchase_order"
        )
    for name, link in agreement.documents.items():
        if name not in offered.documents or not _LINK.fullmatch(link):
            names = ", ".join(offered.documents)
            raise ContractTermsRefused(
                _("A document is one of %(names)s, with an https link.") % {"names": names},
                field="documents",
            )


def _order(organization: Organization, agreement: Agreement) -> Order:
    return Order(
        plan_key=agreement.plan_key,
        interval=agreement.interval,
        currency=agreement.currency or checkout.usual_currency(organization),
        seats=agreement.seats,
    )


def _about_customer(agreement: Agreement) -> dict[str, Any]:
    """What is printed on invoices, and where the customer is: Stripe keeps it, we do not."""
    found: dict[str, Any] = {}
    if agreement.purchase_order:
        order = {"name": "Purchase order", "value": agreement.purchase_order}
        found["invoice_settings"] = {"custom_fields": [order]}
    if agreement.country:
        found["address"] = {"country": agreement.country, "postal_code": agreement.postal_code}
    return found


def _begin(
    organization: Organization,
    customer_id: str,
    price: PlanPrice,
    seats: int,
    terms: dict[str, Any],
) -> None:
    tax = catalog.current().tax.automatic and settings.STRIPE_AUTOMATIC_TAX
    stripe_api.create_subscription(
        {
            "customer": customer_id,
            "items": [{"price": price.stripe_price_id, "quantity": seats}],
            "automatic_tax": {"enabled": tax},
            "metadata": {"organization": str(organization.pk)},
            **terms,
        },
        key=f"contract:{uuid4().hex}",
    )


def _change(held: Holding, price: PlanPrice, seats: int, terms: dict[str, Any]) -> None:
    changes.release_schedule(held)
    sold = catalog.current()
    known = held.plan_key in sold.plans and held.plan_key != price.plan.key
    step = sold.transition(held.plan_key, price.plan.key) if known else sold.transitions.upgrade
    items = [{"id": held.item_id, "price": price.stripe_price_id, "quantity": seats}]
    stripe_api.update_subscription(
        held.subscription.stripe_id,
        {"items": items, "proration_behavior": preview.STRIPES_WORD[step.proration], **terms},
        key=f"contract:{uuid4().hex}",
    )


def _record(organization: Organization, agreement: Agreement, actor: User | audit.Actor) -> None:
    audit.record(
        "billing.contract_agreed",
        organization=organization,
        actor=actor,
        target=agreement.plan_key,
        after={
            "interval": agreement.interval,
            "net_days": agreement.net_days,
            "purchase_order": agreement.purchase_order or None,
            "documents": dict(agreement.documents),
        },
    )
