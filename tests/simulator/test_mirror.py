"""What dj-stripe makes of a whole life told by the simulator: nothing may crash it."""

from typing import Any

import pytest
from djstripe.models import Event

from tests.simulator.conftest import Shop, sdk

DAY = 86_400


@pytest.fixture
def life(stripe_simulator):
    """Every kind of event that a customer's life can cause, in order."""
    api = sdk(stripe_simulator.base_url)
    shop = Shop(api)
    customer = shop.customer(address={"country": "VN"}, name="Hà")
    coupon = api.v1.coupons.create({"percent_off": 10, "duration": "once", "name": "Ten"})
    code = api.v1.promotion_codes.create(
        {"code": "TEN", "promotion": {"type": "coupon", "coupon": coupon.id}}
    )
    session = shop.session(
        customer,
        automatic_tax={"enabled": True},
        customer_update={"address": "auto"},
        allow_promotion_codes=True,
    )
    paid = stripe_simulator.complete_checkout(session.id, promotion_code=code.code)
    subscription = api.v1.subscriptions.retrieve(paid["subscription"])
    bigger = shop.sell(3000)
    for behaviour in ("always_invoice", "create_prorations"):
        item = {"id": subscription["items"].data[0].id, "price": bigger.id, "quantity": 3}
        change: Any = {"items": [item], "proration_behavior": behaviour}
        api.v1.subscriptions.update(subscription.id, change)
        stripe_simulator.advance(customer=customer.id, by_seconds=10 * DAY)
        bigger = shop.price
    schedule = api.v1.subscription_schedules.create({"from_subscription": subscription.id})
    api.v1.subscription_schedules.release(schedule.id)
    stripe_simulator.set_card(customer.id, "decline")
    stripe_simulator.advance(customer=customer.id, by_seconds=25 * DAY)
    stripe_simulator.set_card(customer.id, None)
    stripe_simulator.advance(customer=customer.id, by_seconds=9 * DAY)
    stripe_simulator.close_dispute(stripe_simulator.dispute(customer.id)["dispute"], "won")
    (charge, *_) = api.v1.charges.list({"customer": customer.id}).data
    api.v1.refunds.create({"charge": charge.id, "amount": 100})
    api.v1.billing_portal.sessions.create({"customer": customer.id})
    late = shop.customer()
    stripe_simulator.complete_checkout(shop.session(late).id, "bank_debit_succeeds")
    stripe_simulator.advance(customer=late.id, by_seconds=6 * DAY)
    shop.subscribe(shop.customer(), trial_period_days=2)
    api.v1.checkout.sessions.expire(shop.session(shop.customer()).id)
    api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    api.v1.subscriptions.cancel(subscription.id)
    api.v1.customers.delete(late.id)
    return stripe_simulator.events()


@pytest.mark.django_db
def test_dj_stripe_mirrors_every_event_of_a_life(life, stripe_simulator):
    crashed = {}

    for event in life:
        body = {name: value for name, value in event.items() if name != "deliveries"}
        try:
            Event.process(data=body)
        except Exception as error:  # noqa: BLE001 (which kinds crash is what this test tells)
            crashed[event["type"]] = repr(error)

    assert crashed == {}
    assert len({event["type"] for event in life}) > 40
    assert stripe_simulator.violations() == []
