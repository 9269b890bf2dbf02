"""Organizations that pay, on the simulator, and their time."""

from typing import Any

from billing.entitlement import store
from orgs.models import Organization
from tests.billing.stripe_events import Stripe
from tests.factories.orgs import OrganizationFactory

HOUR, DAY = 3600, 86_400


def on_pro(stripe: Stripe, *, days: int = 0, **order: Any) -> Organization:
    """A team that has bought Pro (or what `order` says), `days` ago."""
    organization: Organization = OrganizationFactory.create()
    stripe.buy(organization, **order)
    stripe.deliver_all(organization)
    if days:
        pass_days(stripe, organization, days)
    return organization


def pass_days(stripe: Stripe, organization: Organization, days: float) -> None:
    """The customer's clock moves, and we hear of all that happened."""
    _advance(stripe, organization, by_seconds=int(days * DAY))


def default_on_renewal(stripe: Stripe, organization: Organization) -> None:
    """The card fails, and with it the renewal, whose attempt comes an hour after the period."""
    stripe.simulator.set_card(stripe.customer_of(organization), "decline")
    edge = store.current(organization).period_end
    assert edge is not None
    _advance(stripe, organization, to=int(edge.timestamp()) + 2 * HOUR)


def _advance(stripe: Stripe, organization: Organization, **target: int) -> None:
    known = {event["id"] for event in stripe.simulator.events()}
    customer = stripe.customer_of(organization)
    stripe.simulator.advance(customer=customer, **target)
    stripe.deliver(event for event in stripe.simulator.events() if event["id"] not in known)
