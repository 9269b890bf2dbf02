"""A simulator of its own for these tests, the real SDK against it, and a receiver for webhooks."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import stripe

from tests.stripe_simulator import process
from tests.stripe_simulator.client import SimulatorClient

SECRET = "whsec_of_these_tests"
KEY = "sk_test_" + "t" * 24


@dataclass
class Receiver:
    """Takes webhooks as an application would: verifies, remembers, answers."""

    url: str = ""
    events: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    refuse: int = 0
    secret: str = SECRET

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        if self.refuse:
            self.refuse -= 1
            return 500
        signature = headers["Stripe-Signature"]
        event = stripe.Webhook.construct_event(body, signature, self.secret)
        self.events.append(event)
        self.headers.append(headers)
        return 200


@pytest.fixture(scope="session")
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status = receiver.take(body, dict(self.headers))
            except stripe.SignatureVerificationError:
                status = 400
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def running(
    receiving: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimulatorClient]:
    state = tmp_path_factory.mktemp("simulator")
    with process.start(
        state_dir=state, webhook_url=receiving.url, webhook_secret=SECRET
    ) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: SimulatorClient, receiving: Receiver) -> Iterator[SimulatorClient]:
    """An empty account; whatever a test does must not break the contract."""
    running.reset()
    running.set_delivery("normal")
    receiving.events.clear()
    receiving.headers.clear()
    receiving.refuse = 0
    yield running
    assert running.violations() == []


@pytest.fixture
def receiver(simulator: SimulatorClient, receiving: Receiver) -> Receiver:
    return receiving


@pytest.fixture
def api(simulator: SimulatorClient) -> stripe.StripeClient:
    return sdk(simulator.base_url)


@pytest.fixture
def browser(simulator: SimulatorClient) -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def shop(api: stripe.StripeClient) -> "Shop":
    return Shop(api)


class Shop:
    """Shortcuts to what most tests sell: Pro for 12 dollars or 299,000 dong a month."""

    def __init__(self, api: stripe.StripeClient) -> None:
        self.api = api
        self.product = api.v1.products.create({"name": "Pro"})
        self.price = self.sell(1200, currency_options={"vnd": {"unit_amount": 299_000}})

    def sell(self, amount: int, interval: str = "month", **more: Any) -> stripe.Price:
        params: Any = {
            "product": self.product.id,
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": interval},
        }
        return self.api.v1.prices.create(params | more)

    def clock(self, at: int = 1_800_000_000) -> Any:
        return self.api.v1.test_helpers.test_clocks.create({"frozen_time": at})

    def customer(self, **more: Any) -> stripe.Customer:
        """On a clock of its own, unless `test_clock` says otherwise: None is the wall's."""
        clock = more.pop("test_clock") if "test_clock" in more else self.clock().id
        params: Any = {"email": "owner@example.com", **more}
        if clock:
            params["test_clock"] = clock
        return self.api.v1.customers.create(params)

    def session(self, customer: stripe.Customer | None = None, **more: Any) -> Any:
        params: Any = {
            "mode": "subscription",
            "line_items": [{"price": self.price.id, "quantity": 1}],
            "success_url": "http://shop.test/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.test/plans",
        }
        if customer:
            params["customer"] = customer.id
        return self.api.v1.checkout.sessions.create(params | more)

    def subscribe(self, customer: stripe.Customer, **more: Any) -> stripe.Subscription:
        """A running subscription paid by a saved card, without Checkout."""
        method = self.api.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        params: Any = {
            "customer": customer.id,
            "items": [{"price": self.price.id}],
            "default_payment_method": method.id,
        }
        return self.api.v1.subscriptions.create(params | more)


def sdk(url: str, retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(
        KEY,
        base_addresses={"api": url, "meter_events": url, "files": url, "connect": url},
        max_network_retries=retries,
    )
