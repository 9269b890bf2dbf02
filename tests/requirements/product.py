"""A product as its document describes it: people and services that reach it over HTTP alone."""

import json
import re
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from django.core import mail
from django.test import Client, TestCase

from billing.gateway import stripe_api
from billing.messages import outbox
from billing.models import InboxEvent, PlanPrice
from orgs.models import Organization, Role, User
from quotas.satellites import issue_token
from tests.billing.stripe_events import Stripe
from tests.factories.orgs import UserFactory, api_token_for, personal_organization
from tests.factories.quotas import SatelliteFactory

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any  # JSON of the API, text of a page

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


class Caller:
    """Whoever holds a token."""

    secret: str

    def get(self, path: str) -> Answer:
        return self._send("GET", path, None)

    def post(self, path: str, **body: Any) -> Answer:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Json | None) -> Answer:
        response = Client().generic(
            method,
            path,
            data="" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"authorization": f"Bearer {self.secret}"},
        )
        return Answer(response.status_code, json.loads(response.content))


class Person(Caller):
    """Somebody with a login, a personal token and a browser."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.secret = api_token_for(user)

    @cached_property
    def browser(self) -> Client:
        client = Client()
        client.force_login(self.user)
        return client

    @property
    def personal(self) -> Organization:
        found: Organization = personal_organization(self.user)
        return found

    def page(self, path: str) -> Answer:
        response = self.browser.get(path, follow=True)
        return Answer(response.status_code, response.content.decode())

    def submit(self, path: str, **form: Any) -> Answer:
        """The page that the form leads to, or the refusal itself."""
        response = self.browser.post(path, form, follow=True)
        return Answer(response.status_code, response.content.decode())

    def status(self, organization: Organization | None = None) -> Json:
        """`GET /api/v1/billing/status`; without an organization, of the current one."""
        query = f"?organization={organization.slug}" if organization else ""
        found = self.get(f"/api/v1/billing/status{query}")
        assert found.status == 200, found.body
        status: Json = found.body
        return status

    def founds(self, name: str) -> Organization:
        """By the form that everybody has."""
        self.submit("/organizations/new/", name=name)
        found: Organization = Organization.objects.get(name=name)
        return found


class Service(Caller):
    """Another service of the product, with a token for everything."""

    def __init__(self) -> None:
        _row, self.secret = issue_token(SatelliteFactory.create())

    def consume(self, organization: Organization, meter: str, amount: int, key: str) -> Answer:
        return self.post(
            "/api/v1/usage/consume",
            organization=str(organization.pk),
            meter=meter,
            amount=amount,
            idempotency_key=key,
        )

    def feature(self, organization: Organization, feature: str) -> Answer:
        """May it do what only some plans have? 200, or a refusal with its reason."""
        return self.get(f"/api/v1/organizations/{organization.slug}/features/{feature}")

    def entitlements(self, organization: Organization) -> Json:
        found = self.get(f"/api/v1/organizations/{organization.slug}/entitlements")
        assert found.status == 200, found.body
        entitlements: Json = found.body
        return entitlements


class Product:
    """The catalogue on sale, at a Stripe account whose events arrive when a test says so."""

    def __init__(self, stripe: Stripe) -> None:
        self.stripe = stripe

    def person(self, name: str = "Ann", **fields: Any) -> Person:
        """Signed up, with a confirmed address and a personal organization."""
        email = f"{name.lower()}@example.com"
        return Person(UserFactory.create(name=name, email=email, **fields))

    def staff(self) -> Person:
        return self.person("Sam", is_staff=True, is_superuser=True)

    def team(self, *, name: str = "Acme", owner: Person | None = None) -> Organization:
        """Founded by `owner`, else by somebody new called Olga."""
        return (owner or self.person("Olga")).founds(name)

    def owner_of(self, organization: Organization) -> Person:
        return Person(organization.memberships.filter(role=Role.OWNER).get().user)

    def invited(self, organization: Organization, email: str, role: str = Role.MEMBER) -> str:
        """The path of the link that was mailed."""
        owner = self.owner_of(organization)
        page = f"/o/{organization.slug}/settings/members/invite/"
        with TestCase.captureOnCommitCallbacks(execute=True):
            owner.submit(page, email=email, role=role)
        outbox.deliver_due()
        letters = [str(one.body) for one in mail.outbox if email in one.to]
        links = re.findall(r"/invitations/[\w-]+/", "".join(letters))
        assert links, letters
        return str(links[-1])

    def joins(self, organization: Organization, person: Person, role: str = Role.MEMBER) -> Answer:
        """Invited by mail, and in by the mail's link."""
        link = self.invited(organization, person.user.email, role)
        return person.submit(f"{link}accept/")

    def buys(self, person: Person, **order: Any) -> Json:
        """Checkout by the API, paid at Stripe, webhooks delivered; answers the new status."""
        asked = person.post("/api/v1/billing/checkout", **order)
        assert asked.status == 200, asked.body
        self.pays(asked["checkout_url"])
        return person.status()

    def pays(self, checkout_url: str, card: str = "success") -> None:
        session = self.session_of(checkout_url)
        self.stripe.simulator.complete_checkout(session["id"], card)
        self.hears_of(session["customer"])

    def hears_of(self, customer_id: str) -> None:
        """Every event of the customer arrives that has not come before."""
        known = set(InboxEvent.objects.values_list("event_id", flat=True))
        self.stripe.deliver(
            event for event in self.stripe.events_of(customer_id) if event["id"] not in known
        )

    def hears_again(self, customer_id: str) -> None:
        """Every event of the customer arrives once more."""
        self.stripe.deliver(self.stripe.events_of(customer_id))

    def time_passes(self, organization: Organization, **by: int) -> None:
        """On the customer's own clock: `by_seconds`, or `to` an instant; then all is delivered."""
        customer_id = self.stripe.customer_of(organization)
        known = {event["id"] for event in self.stripe.simulator.events()}
        self.stripe.simulator.advance(customer=customer_id, **by)
        self.stripe.deliver(
            event for event in self.stripe.simulator.events() if event["id"] not in known
        )

    def session_of(self, checkout_url: str) -> Json:
        """Stripe's session behind the address that somebody was sent to."""
        sessions = self.stripe.simulator.state("checkout.session")
        return next(one for one in sessions if one["url"] == checkout_url)

    def portal_customer(self, opened: Answer) -> str:
        """Whose portal an answer leads to."""
        assert opened.status == 200, opened.body
        sessions = self.stripe.simulator.state("billing_portal.session")
        return str(next(one for one in sessions if one["url"] == opened["portal_url"])["customer"])

    def reads(self, url: str) -> str:
        """A page of Stripe's, as a browser would."""
        with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 (the simulator)
            text: str = response.read().decode()
        return text

    def price(self, plan_key: str, interval: str = "month") -> str:
        """Stripe's id of what the plan costs."""
        prices = PlanPrice.objects.on_sale().for_terms(interval, "usd")
        return str(prices.get(plan__key=plan_key).stripe_price_id)

    def makes_price(self, plan_key: str, interval: Literal["month", "year"] = "month") -> str:
        """One that somebody has made by hand at Stripe."""
        known = stripe_api.client().v1.prices.retrieve(self.price(plan_key, interval))
        made = stripe_api.client().v1.prices.create(
            {
                "product": str(known.product),
                "currency": "usd",
                "unit_amount": known.unit_amount or 0,
                "recurring": {"interval": interval},
                "tax_behavior": "exclusive",
            }
        )
        return made.id

    def changes_price(self, subscription_id: str, price_id: str) -> None:
        """As in Stripe's portal; the webhooks arrive."""
        client = stripe_api.client()
        found = client.v1.subscriptions.retrieve(subscription_id)
        item = found["items"]["data"][0]["id"]
        client.v1.subscriptions.update(
            subscription_id, {"items": [{"id": item, "price": price_id}]}
        )
        self.hears_of(str(found.customer))
