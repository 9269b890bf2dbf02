import time

import pytest

from tests.simulator.conftest import sdk
from tests.stripe_simulator import process


def test_webhooks_are_signed_and_come_in_order(simulator, shop, receiver):
    simulator.complete_checkout(shop.session(shop.customer()).id)

    simulator.wait_until_idle()

    assert receiver.types() == [event["type"] for event in simulator.events()]
    assert receiver.headers[0]["User-Agent"].startswith("Stripe/1.0")
    assert receiver.headers[0]["Content-Type"] == "application/json; charset=utf-8"


def test_a_refused_webhook_comes_again(simulator, api, receiver):
    receiver.refuse = 1

    api.v1.customers.create({"email": "a@example.com"})
    wait_for(lambda: receiver.types() == ["customer.created"])

    (event,) = simulator.events("customer.created")
    assert [attempt["status"] for attempt in event["deliveries"][0]["attempts"]] == [500, 200]
    assert event["pending_webhooks"] == 0


def test_an_undelivered_event_can_be_listed(simulator, api, receiver):
    simulator.set_delivery("drop")
    lost = api.v1.customers.create({"email": "lost@example.com"})
    simulator.wait_until_idle()
    simulator.set_delivery("normal")
    api.v1.customers.create({"email": "found@example.com"})
    simulator.wait_until_idle()

    undelivered = api.v1.events.list({"delivery_success": False})

    assert [event.data.object["id"] for event in undelivered.data] == [lost.id]
    assert len(receiver.events) == 1


def test_held_events_leave_when_they_are_let_go(simulator, api, receiver):
    simulator.set_delivery("hold")
    for name in "abc":
        api.v1.customers.create({"name": name})
    held = list(receiver.events)

    simulator.deliver()

    assert held == []
    assert [event.data.object["name"] for event in receiver.events] == ["a", "b", "c"]


def test_a_seed_shuffles_the_same_way_each_time(simulator, api, receiver):
    orders = []
    for _ in range(2):
        simulator.reset()
        simulator.set_delivery("hold")
        receiver.events.clear()
        for name in "abcdefgh":
            api.v1.customers.create({"name": name})
        simulator.deliver(seed=7, duplicate=True)
        orders.append([event.data.object["name"] for event in receiver.events])

    assert orders[0] == orders[1]
    assert orders[0] != sorted(orders[0])
    assert sorted(orders[0]) == sorted("abcdefgh" * 2)


def test_doubled_events_keep_their_id(simulator, api, receiver):
    simulator.set_delivery("double")

    api.v1.customers.create({"name": "a"})
    simulator.wait_until_idle()

    first, second = receiver.events
    assert first.id == second.id


def test_shuffled_events_all_arrive(simulator, shop, receiver):
    simulator.set_delivery("shuffle")

    simulator.complete_checkout(shop.session(shop.customer()).id)
    wait_for(lambda: len(receiver.events) == len(simulator.events()))

    assert sorted(receiver.types()) == sorted(event["type"] for event in simulator.events())


def test_an_endpoint_hears_only_what_it_listens_to(simulator, api, receiver):
    simulator.set_webhook(receiver.url, receiver.secret, enabled_events=["customer.deleted"])

    customer = api.v1.customers.create({"name": "a"})
    api.v1.customers.delete(customer.id)
    simulator.wait_until_idle()

    assert receiver.types() == ["customer.deleted"]


def test_both_secrets_sign_while_one_is_rotated(simulator, api, receiver):
    simulator.set_webhook(receiver.url, "whsec_new", receiver.secret)

    api.v1.customers.create({"name": "a"})
    simulator.wait_until_idle()

    assert receiver.types() == ["customer.created"]
    assert receiver.headers[0]["Stripe-Signature"].count("v1=") == 2


def test_a_secret_is_told_once(api, receiver):
    made = api.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})

    found = api.v1.webhook_endpoints.retrieve(made.id)

    assert made.secret.startswith("whsec_")
    assert "secret" not in found


@pytest.mark.parametrize(
    ("overrides", "field", "value"),
    [
        ({"livemode": True}, "livemode", True),
        ({"account": "acct_other"}, "account", "acct_other"),
        ({"api_version": "2020-08-27"}, "api_version", "2020-08-27"),
        ({"api_version": None}, "api_version", None),
    ],
)
def test_any_event_can_be_forged(simulator, api, receiver, overrides, field, value):
    customer = api.v1.customers.create({"name": "a"})

    simulator.emit("customer.updated", customer.id, overrides=overrides)
    simulator.wait_until_idle()

    assert receiver.events[-1]["type"] == "customer.updated"
    assert receiver.events[-1][field] == value


def test_an_event_can_be_signed_with_another_secret_or_time(simulator, receiver):
    subject = {"id": "x", "object": "foo"}

    wrong = simulator.emit("foo.bar", subject, secrets=["whsec_wrong"])
    stale = simulator.emit("foo.bar", subject, timestamp=int(time.time()) - 301)
    right = simulator.emit("foo.bar", subject, secrets=[receiver.secret])

    assert [wrong["status"], stale["status"], right["status"]] == [400, 400, 200]


def wait_for(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_share_of_held_events_can_be_lost(simulator, api, receiver):
    simulator.set_delivery("hold")
    for number in range(40):
        api.v1.customers.create({"name": str(number)})

    simulator.deliver(seed=3, drop=0.25, workers=4)

    lost = api.v1.events.list({"delivery_success": False, "limit": 100}).data
    assert 0 < len(lost) < 40
    assert len(receiver.events) + len(lost) == 40


def test_one_change_can_be_told_by_two_events(simulator, api, receiver):
    api.v1.customers.create({"name": "a"})
    (event,) = simulator.events("customer.created")

    twin = simulator.clone(event["id"])
    simulator.wait_until_idle()

    first, second = receiver.events
    assert (first.id, second.id) == (event["id"], twin)
    assert first.data.object == second.data.object


def test_what_was_held_is_still_owed_after_a_restart(receiver, tmp_path):
    port = process.free_port()
    with process.start(port, tmp_path, receiver.url, receiver.secret) as first:
        first.set_delivery("hold")
        sdk(first.base_url).v1.customers.create({"name": "patient"})

    with process.start(port, tmp_path, receiver.url, receiver.secret) as second:
        second.set_delivery("normal")
        second.wait_until_idle()

    assert receiver.types() == ["customer.created"]
