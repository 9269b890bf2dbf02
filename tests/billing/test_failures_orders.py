"""An order's body is a wish, never a fact: what is not sold is refused by name (B11)."""

import json
from collections.abc import Collection

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of

pytestmark = pytest.mark.django_db

PATHS = ("/api/v1/billing/checkout", "/api/subscriptions/upgrade")
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NO_JSON = [b"NaN", b'{"tier": NaN}', b"1e999", b"{}{}"]
ODD = ["pro ", "PRO", "price_1", "../pro", "pro\x00", "\uff50ro", "\u0663"]
TEXTS = st.text() | st.sampled_from(ODD)
REFUSED = {
    "tier": JSON | TEXTS | st.sampled_from(["hobby", "enterprise", "", "price_123"]),
    "seats": JSON | TEXTS | st.integers(max_value=0) | st.sampled_from([10**6, 10**16, 1.5, True]),
    "interval": JSON | TEXTS | st.sampled_from(["week", "day", "MONTH", "monthly"]),
    "currency": JSON | TEXTS | st.sampled_from(["eur", "us", "usdx", "USD "]),
}
VALID: dict[str, Collection[str | int]] = {
    "tier": {"pro"},
    "seats": range(1, 100_001),
    "interval": {"month", "year"},
    "currency": {"usd", "vnd", "USD", "VND"},
}


@pytest.fixture
def ask(stripe):
    """Orders by the owner's token; answers the response."""
    token = api_token_for(owner_of(OrganizationFactory.create()))

    def post(path, body):
        return Client().post(
            path,
            data=body if isinstance(body, bytes) else json.dumps(body),
            content_type="application/json",
            headers={"authorization": f"Bearer {token}"},
        )

    return post


def _is_valid(field, value):
    """True is no 1 and 1.0 is no 1 here, so types count as well."""
    return type(value) is (int if field == "seats" else str) and value in VALID[field]


@pytest.mark.parametrize("field", REFUSED)
def test_a_tampered_field_is_refused_by_its_name(ask, stripe, field):
    @settings(
        max_examples=60,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(value=REFUSED[field], path=st.sampled_from(PATHS))
    def refuses(value, path):
        if _is_valid(field, value):
            return
        answer = ask(path, {"tier": "pro", field: value})

        assert answer.status_code == 422, (value, answer.content)
        assert answer.json()["field"].split("[")[0].split(".")[0] == field
        assert answer["Content-Type"] == "application/problem+json"

    refuses()

    assert stripe.simulator.state("checkout.session") == []


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(["price", "price_id", "customer", "amount", "Tier", "plan", "metadata"])
    | st.text(min_size=1).filter(lambda name: name not in {*VALID, "organization"}),
    value=JSON,
)
def test_a_field_that_does_not_exist_is_refused_by_its_name(ask, stripe, name, value):
    answer = ask(PATHS[0], {"tier": "pro", name: value})

    assert answer.status_code == 422, (name, answer.content)
    assert name[:80] in answer.json()["errors"]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=st.binary() | st.sampled_from(NO_JSON) | JSON.filter(lambda one: type(one) is not dict))
def test_a_body_that_is_no_order_is_refused(ask, stripe, body):
    answer = ask(PATHS[0], body)

    assert answer.status_code in {400, 422}, answer.content


def test_a_plan_by_contract_names_whom_to_write_to(ask, stripe):
    answer = ask(PATHS[1], {"tier": "enterprise", "seats": 3})

    assert (answer.status_code, answer.json()["code"]) == (422, "contract_only")
    assert "@" in answer.json()["sales_contact"]
    assert stripe.simulator.state("checkout.session") == []


def test_tier_and_seats_alone_are_an_order(ask, stripe):
    """Document 004."""
    answer = ask(PATHS[1], {"tier": "pro", "seats": 3})

    assert answer.status_code == 200
    (session,) = stripe.simulator.state("checkout.session")
    assert answer.json()["checkout_url"] == session["url"]
