"""The whole way of a purchase, walked once: Checkout, return, webhook, portal, and what it grants.

In live mode nothing is charged: the Checkout session is opened, looked at and expired, and the
expiry must come back as a signed webhook. In test mode a subscription is bought with Stripe's test
card as well, must be provisioned by webhooks alone, and is cancelled again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from billing import catalog, findings
from billing.entitlement import store
from billing.findings import Check, Finding, failed, ok, skipped
from billing.gateway import stripe_api
from billing.models import CheckoutIntent, Classification, InboxEvent, PlanPrice, Source
from billing.subscription import checkout, customers, opening, portal
from billing.subscription.checkout import Order
from orgs import organizations
from orgs.models import Organization, User

SLUG: Final = "ledgerline-smoke-test"
_EMAIL: Final = "smoke-test@ledgerline.invalid"
_PATIENCE: Final = 90  # seconds for a webhook
_TEST_CARD: Final = "pm_card_visa"

Wait = Callable[[Callable[[], bool]], bool]
OnStep = Callable[[Finding], object]


def wait(condition: Callable[[], bool]) -> bool:
    """Polls until true, or until nobody should wait any longer."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


@dataclass
class Walk:
    """One organization that never buys anything for real. `further` are steps of other floors."""

    organization: Organization
    person: User
    price: PlanPrice
    wait: Wait
    further: Sequence[Callable[[Organization], Finding]] = ()
    intent: CheckoutIntent | None = None

    def steps(self) -> tuple[Check, ...]:
        provisioning: tuple[Check, ...] = () if settings.STRIPE_LIVE_MODE else (self.provisioning,)
        return (
            self.checkout,
            self.back,
            self.webhook,
            *provisioning,
            self.portal,
            *(self._bound(step) for step in self.further),
        )

    def checkout(self) -> Finding:
        with opening.rehearsal():
            order = Order(
                plan_key=self.price.plan.key,
                interval=self.price.interval,
                currency=self.price.currency,
            )
            self.intent = checkout.start(self.organization, self.person, order)
        if not self.intent.url:
            return failed("checkout", "Stripe opened a session without a page.")
        host = self.intent.url.split("/")[2]
        return ok("checkout", f"A Checkout page for {self.price.plan.key} is open at {host}.")

    def back(self) -> Finding:
        """Who comes back without having paid gets nothing."""
        intent = self._intent()
        settled = checkout.settle(self.organization, intent.session_id or "")
        if settled is None or settled.state != "open":
            state = "nothing" if settled is None else settled.state
            return failed("return", f"The return page says “{state}” of an unpaid session.")
        if store.current(self.organization).source == Source.STRIPE:
            return failed("return", "The plan was given before anything was paid.")
        return ok("return", "The return page waits for the payment and gives nothing before it.")

    def webhook(self) -> Finding:
        """The session is expired at Stripe; that must come back through the front door."""
        intent = self._intent()
        session = intent.session_id or ""
        stripe_api.expire_checkout_session(session)
        arrived = InboxEvent.objects.filter(
            object_id=session, type="checkout.session.expired", state=InboxEvent.State.DONE
        )
        if not self.wait(arrived.exists):
            return failed(
                "webhook",
                "Stripe's event about the expired session did not arrive, or was not processed.",
                "See the doctor's webhook findings, and whether a worker runs.",
            )
        intent.refresh_from_db()
        if intent.state != CheckoutIntent.State.EXPIRED:
            return failed("webhook", f"The event arrived, yet the order is “{intent.state}”.")
        return ok("webhook", "Stripe's signed event arrived and closed the order.")

    def provisioning(self) -> Finding:
        """Bought with Stripe's test card; webhooks alone give the plan and take it away."""
        account = customers.ensure(self.organization)
        bought = _buy(account.stripe_customer_id or "", self.price)
        try:
            given = self.wait(lambda: self._is_on(Source.STRIPE))
        finally:
            key = f"smoke:{bought['id']}"
            stripe_api.cancel_subscription(bought["id"], key=key)
        if not given:
            return failed("provisioning", "The paid plan was not switched on by webhooks.")
        if not self.wait(lambda: not self._is_on(Source.STRIPE)):
            return failed("provisioning", "The cancelled plan was not taken away by webhooks.")
        return ok("provisioning", "Webhooks switched the paid plan on, and off once cancelled.")

    def portal(self) -> Finding:
        url = portal.open_portal(self.organization, self.person)
        return ok("portal", f"The customer portal opens at {url.split('/')[2]}.")

    def _is_on(self, source: str) -> bool:
        return store.current(self.organization).source == source

    def _intent(self) -> CheckoutIntent:
        if self.intent is None or not self.intent.session_id:
            raise RuntimeError("there is no session: the first step failed")
        return self.intent

    def _bound(self, step: Callable[[Organization], Finding]) -> Check:
        def bound() -> Finding:
            return step(self.organization)

        bound.__name__ = step.__name__
        return bound


def price_to_try() -> PlanPrice | None:
    """The first that an organization can buy; None where nothing is sold to one."""
    plans = catalog.current().plans
    sold = [key for key, plan in plans.items() if plan.prices and "team" in plan.audience]
    prices = PlanPrice.objects.purchasable().filter(
        plan__catalog=catalog.current().key, plan__key__in=sold, plan__kind="paid"
    )
    return prices.select_related("plan").order_by("plan__position", "interval", "currency").first()


def prepare(
    price: PlanPrice,
    *,
    wait: Wait = wait,
    further: Sequence[Callable[[Organization], Finding]] = (),
) -> Walk:
    """One organization of our own, kept between runs; nobody can sign in as its owner."""
    with transaction.atomic():
        person = User.objects.filter(email=_EMAIL).first() or User.objects.create_user(
            _EMAIL, None, name="Smoke test", is_active=False
        )
        organization = Organization.objects.open().filter(slug=SLUG).first()
        organization = organization or organizations.create_team(person, "Smoke test", slug=SLUG)
    for own in (organization, organizations.create_personal(person)):
        # Nobody has to decide what they are before limits are enforced.
        Classification.objects.get_or_create(
            organization=own,
            defaults={"kind": Classification.Kind.DEFAULT, "reason": "smoke test"},
        )
    return Walk(organization=organization, person=person, price=price, wait=wait, further=further)


def walk(found: Walk, on_step: OnStep = lambda _finding: None) -> Iterator[Finding]:
    """Stops at the first failure: what comes after would fail for the same reason."""
    broken = ""
    for step in found.steps():
        finding = _skipped(step, broken) if broken else _tried(step)
        if finding.outcome == "failed":
            broken = finding.name
        on_step(finding)
        yield finding


def _tried(step: Check) -> Finding:
    (finding,) = findings.run([step])
    return finding


def _skipped(step: Check, broken: str) -> Finding:
    return skipped(step.__name__.replace("_", "-"), f"Not tried, since {broken} failed.")


def _buy(customer_id: str, price: PlanPrice) -> dict[str, Any]:
    """Test mode only: with the card that always pays."""
    with stripe_api.translated("smoke"):
        v1 = stripe_api.client().v1
        method = v1.payment_methods.attach(_TEST_CARD, {"customer": customer_id})
        made = v1.subscriptions.create(
            {
                "customer": customer_id,
                "items": [{"price": price.stripe_price_id or "", "quantity": price.plan.min_seats}],
                "default_payment_method": method.id,
            }
        )
        return made.to_dict()
