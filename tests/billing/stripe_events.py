"""Stripe as tests see it: the simulator's events, signed and posted to our webhook."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from billing.gateway.webhooks import processing
from billing.models import CheckoutIntent, InboxEvent
from billing.subscription import checkout
from billing.subscription.checkout import Order
from orgs.models import Organization, Role
from tests.stripe_simulator.client import SimulatorClient

Json = dict[str, Any]
WEBHOOK = "/webhooks/stripe"


def signature(body: bytes, secret: str | None = None, at: float | None = None) -> str:
    """Stripe's header for this body; by default with our first secret and the time of now."""
    seconds = int(time.time() if at is None else at)
    key = settings.STRIPE_WEBHOOK_SECRETS[0] if secret is None else secret
    digest = hmac.new(key.encode(), b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def post(client: Client, event: Json | bytes, **headers: str) -> HttpResponse:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    if "stripe-signature" not in headers:
        headers["stripe-signature"] = signature(body)
    response: Any = client.post(
        WEBHOOK, data=body, content_type="application/json", headers=headers
    )
    return response  # type: ignore[no-any-return]


def drain_all() -> None:
    """What the worker does: drain every customer that has rows, until none is left."""
    for _ in range(20):
        waiting = InboxEvent.objects.waiting().values_list("customer_id", flat=True)
        customers = set(waiting.distinct())
        if not customers:
            return
        for customer_id in customers:
            processing.drain(customer_id)


@dataclass(frozen=True)
class Stripe:
    """One simulated Stripe account, and the way its events take to us."""

    simulator: SimulatorClient
    client: Client

    def events_of(self, customer_id: str | None) -> list[Json]:
        return [event for event in self.simulator.events() if _customer(event) == customer_id]

    def deliver(self, events: Iterable[Json]) -> None:
        for event in events:
            assert post(self.client, event).status_code == 200
        drain_all()

    def deliver_all(self, organization: Organization) -> None:
        self.deliver(self.history_of(organization))

    def history_of(self, organization: Organization) -> list[Json]:
        return self.events_of(self.customer_of(organization))

    def customer_of(self, organization: Organization) -> str:
        organization.billing_account.refresh_from_db()
        customer_id = organization.billing_account.stripe_customer_id
        assert customer_id is not None
        return customer_id

    def start_checkout(self, organization: Organization, **order: Any) -> CheckoutIntent:
        owner = organization.memberships.filter(role=Role.OWNER).get().user
        order.setdefault("plan_key", "pro")
        return checkout.start(organization, owner, Order(**order))

    def pay(self, intent: CheckoutIntent, card: str = "success") -> Json:
        return self.simulator.complete_checkout(intent.session_id or "", card)

    def buy(self, organization: Organization, **order: Any) -> CheckoutIntent:
        """Checkout opened and paid; its events wait at Stripe."""
        intent = self.start_checkout(organization, **order)
        self.pay(intent)
        return intent


def _customer(event: Json) -> str | None:
    subject = event["data"]["object"]
    if subject.get("object") == "customer":
        return str(subject["id"])
    found: str | None = subject.get("customer")
    return found
