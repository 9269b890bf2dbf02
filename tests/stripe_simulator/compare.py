"""Replays one walk against Stripe itself and this simulator and prints where they differ.

STRIPE_SECRET_KEY=sk_test_… python -m tests.stripe_simulator.compare

Needs a test account of Stripe; everything it makes hangs on a test clock and goes with it.
"""

import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import stripe

from tests.stripe_simulator import process
from tests.stripe_simulator.contract.annotations import API_VERSION

DAY = 86_400
# Names, secrets and addresses are never the same twice.
PASSING = re.compile(r"\b[a-z]+(_[a-z]+)*_(test_)?[A-Za-z0-9]{8,}\b|https?://\S+")
PASSING_FIELDS = {"created", "invoice_prefix", "number", "fingerprint", "client_secret"}
Step = tuple[str, Any]


def main() -> None:
    key = os.environ.get("STRIPE_SECRET_KEY", "")
    if not key.startswith("sk_test_"):
        sys.exit("Set STRIPE_SECRET_KEY to the sk_test_ key of a test account.")
    found = 0
    for line in against(stripe.StripeClient(key, stripe_version=API_VERSION)):
        found += 1
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{found} differences\n")


def against(account: stripe.StripeClient) -> Iterator[str]:
    """Where a simulator of its own answers the walk differently from a test account."""
    start = int(time.time())
    theirs = list(walk(account, start))
    with process.start() as simulator:
        ours = list(walk(_local(simulator.base_url), start))
    for (name, here), (_, there) in zip(ours, theirs, strict=True):
        for line in differences(dict(_flat(here)), dict(_flat(there))):
            yield f"{name}: {line}"


def walk(api: stripe.StripeClient, start: int) -> Iterator[Step]:
    """Subscribe, look at an upgrade, make it, renew, fail, end: each answer in turn."""
    clock = api.v1.test_helpers.test_clocks.create({"frozen_time": start})
    try:
        yield from _walk(api, clock.id, start)
    finally:
        api.v1.test_helpers.test_clocks.delete(clock.id)


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    for path in sorted({*ours, *theirs}):
        if path not in ours:
            yield f"{path}: missing here, {theirs[path]!r} there"
        elif path not in theirs:
            yield f"{path}: {ours[path]!r} here, missing there"
        elif ours[path] != theirs[path]:
            yield f"{path}: {ours[path]!r} here, {theirs[path]!r} there"


def _walk(api: stripe.StripeClient, clock: str, start: int) -> Iterator[Step]:
    product = api.v1.products.create({"name": "Comparison"})
    small, big = (_price(api, product.id, amount) for amount in (1200, 3000))
    customer = api.v1.customers.create({"email": "walk@example.com", "test_clock": clock})
    yield "customer", customer
    method = api.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    yield "payment method", method
    subscription = api.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": small, "quantity": 3}],
            "default_payment_method": method.id,
        }
    )
    yield "subscription", subscription
    yield "first invoice", _latest_invoice(api, subscription.id)
    _advance(api, clock, start + 10 * DAY)
    change: Any = {
        "items": [{"id": subscription["items"].data[0].id, "price": big, "quantity": 5}],
        "proration_behavior": "always_invoice",
    }
    yield (
        "preview",
        api.v1.invoices.create_preview(
            {"subscription": subscription.id, "subscription_details": change}
        ),
    )
    yield "upgrade", api.v1.subscriptions.update(subscription.id, change)
    yield "upgrade invoice", _latest_invoice(api, subscription.id)
    _advance(api, clock, start + 33 * DAY)
    yield "renewal", _latest_invoice(api, subscription.id)
    failing = api.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    api.v1.subscriptions.update(subscription.id, {"default_payment_method": failing.id})
    _advance(api, clock, start + 64 * DAY)
    yield "failed renewal", _latest_invoice(api, subscription.id)
    yield "past due", api.v1.subscriptions.retrieve(subscription.id)
    yield "canceled", api.v1.subscriptions.cancel(subscription.id)


def _price(api: stripe.StripeClient, product: str, amount: int) -> str:
    made = api.v1.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": "month"},
        }
    )
    return made.id


def _latest_invoice(api: stripe.StripeClient, subscription: str) -> Any:
    return api.v1.subscriptions.retrieve(
        subscription, {"expand": ["latest_invoice"]}
    ).latest_invoice


def _advance(api: stripe.StripeClient, clock: str, to: int) -> None:
    """Stripe's clocks take a while to arrive."""
    api.v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    for _ in range(120):
        if api.v1.test_helpers.test_clocks.retrieve(clock).status == "ready":
            return
        time.sleep(1)
    sys.exit("The test clock did not become ready.")


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path → value, with what never repeats left out."""
    body: Any = node.to_dict() if isinstance(node, stripe.StripeObject) else node
    if isinstance(body, dict):
        for name, value in body.items():
            if name not in PASSING_FIELDS:
                yield from _flat(value, f"{path}.{name}")
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from _flat(value, f"{path}[{index}]")
    else:
        yield path, PASSING.sub("…", body) if isinstance(body, str) else body


def _local(url: str) -> stripe.StripeClient:
    key = "sk_test_" + "c" * 24
    return stripe.StripeClient(key, base_addresses={"api": url}, stripe_version=API_VERSION)


if __name__ == "__main__":
    main()
