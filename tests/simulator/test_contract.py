import copy

import pytest

from tests.stripe_simulator.contract.catalogue import find_endpoint
from tests.stripe_simulator.contract.responses import event_violations, object_violations
from tests.stripe_simulator.shapes import shape


@pytest.fixture
def subscription(simulator, shop):
    answer = simulator.complete_checkout(shop.session(shop.customer()).id)
    (event,) = simulator.events("customer.subscription.created")
    assert event["data"]["object"]["id"] == answer["subscription"]
    return event["data"]["object"]


def test_what_the_simulator_tells_is_clean(subscription):
    assert object_violations(subscription) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created", "yesterday"),
        ("cancel_at_period_end", None),
        ("status", "sleeping"),
        ("customer", 7),
        ("metadata", []),
        ("items", []),
    ],
)
def test_a_wrong_type_is_caught(subscription, field, value):
    wrong = {**subscription, field: value}

    assert len(object_violations(wrong)) == 1


def test_an_unknown_field_is_caught_however_deep(subscription):
    wrong = copy.deepcopy(subscription)
    wrong["items"]["data"][0]["price"]["colour"] = "red"

    (found,) = object_violations(wrong)
    assert found == "subscription.items.data[0].price.colour: unknown field"


def test_a_missing_field_is_caught(subscription):
    wrong = {key: value for key, value in subscription.items() if key != "currency"}

    assert object_violations(wrong) == ["subscription.currency: missing"]


def test_an_event_of_a_broken_object_is_caught(simulator, subscription):
    (event,) = simulator.events("customer.subscription.created")
    event.pop("deliveries")
    event["data"]["object"]["quantity"] = 1

    (found,) = event_violations(event)
    assert found.startswith("customer.subscription.created: ")


def test_a_list_with_one_broken_element_is_caught():
    endpoint = find_endpoint("GET", "/v1/customers")
    page = {"object": "list", "data": [{"id": 1}], "has_more": False, "url": "/v1/customers"}

    assert endpoint is not None
    assert endpoint.violations(page) != []


@pytest.mark.parametrize("kind", ["customer", "invoice", "subscription", "checkout.session"])
def test_the_current_shape_is_complete_for_what_is_sold(kind):
    found = object_violations(shape(kind, id="x"))

    assert [line for line in found if "missing" in line or "unknown" in line] == []
