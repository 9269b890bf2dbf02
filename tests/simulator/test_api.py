from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import stripe

from tests.simulator.conftest import KEY, sdk
from tests.stripe_simulator import process
from tests.stripe_simulator.contract.catalogue import all_endpoints
from tests.stripe_simulator.resources import everything
from tests.stripe_simulator.routing import HANDLERS


def test_every_endpoint_built_here_is_one_of_stripes():
    real = {(endpoint.method, endpoint.path) for endpoint in all_endpoints()}

    assert everything.FAMILIES
    assert set(HANDLERS) - real == set()


def test_an_unknown_parameter_is_refused_by_name(api):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.v1.customers.create({"emial": "typo@example.com"})

    assert refused.value.http_status == 400
    assert refused.value.code == "parameter_unknown"
    assert refused.value.param == "emial"


def test_a_parameter_of_the_wrong_type_is_refused(api, shop):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.session(line_items=[{"price": shop.price.id, "quantity": "three"}])

    assert refused.value.code == "parameter_invalid_integer"
    assert refused.value.param == "line_items[0][quantity]"


def test_a_choice_outside_stripes_list_is_refused(shop):
    with pytest.raises(stripe.InvalidRequestError, match="Invalid mode: must be one of"):
        shop.session(mode="gift")


def test_a_missing_parameter_is_named(api):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.v1.prices.create({"unit_amount": 1})

    assert (refused.value.code, refused.value.param) == ("parameter_missing", "currency")


def test_a_real_endpoint_that_is_not_built_says_so_loudly(api):
    with pytest.raises(stripe.APIError) as refused:
        api.v1.payouts.list()

    assert refused.value.http_status == 501
    assert "not built" in str(refused.value)


def test_an_address_stripe_does_not_have_is_not_found(simulator):
    answer = httpx.get(
        f"{simulator.base_url}/v1/unicorns", headers={"Authorization": f"Bearer {KEY}"}
    )

    assert answer.status_code == 404
    assert "Unrecognized request URL" in answer.json()["error"]["message"]


@pytest.mark.parametrize("key", ["", "Bearer nonsense", "Bearer sk_live_" + "x" * 24])
def test_a_key_that_is_no_test_key_is_refused(simulator, key):
    answer = httpx.get(f"{simulator.base_url}/v1/customers", headers={"Authorization": key})

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_missing_object_is_a_404_in_the_path_and_a_400_in_a_parameter(api, shop):
    with pytest.raises(stripe.InvalidRequestError) as in_path:
        api.v1.customers.retrieve("cus_nobody")
    with pytest.raises(stripe.InvalidRequestError) as in_parameter:
        shop.session(line_items=[{"price": "price_none", "quantity": 1}])

    assert (in_path.value.http_status, in_path.value.code) == (404, "resource_missing")
    assert (in_parameter.value.http_status, in_parameter.value.code) == (400, "resource_missing")


def test_a_deleted_customer_is_still_named(api, shop):
    customer = shop.customer()

    api.v1.customers.delete(customer.id)

    assert api.v1.customers.retrieve(customer.id).deleted is True


def test_one_key_gives_one_answer(simulator, api):
    options = {"idempotency_key": "customer:7"}

    first = api.v1.customers.create({"email": "a@example.com"}, options=options)
    second = api.v1.customers.create({"email": "a@example.com"}, options=options)

    assert first.id == second.id
    assert len(simulator.state("customer")) == 1


def test_one_key_with_other_parameters_is_refused(api):
    options = {"idempotency_key": "customer:7"}
    api.v1.customers.create({"email": "a@example.com"}, options=options)

    with pytest.raises(stripe.IdempotencyError) as refused:
        api.v1.customers.create({"email": "b@example.com"}, options=options)

    assert refused.value.http_status == 400


def test_a_key_is_forgotten_after_a_day(simulator, api):
    options = {"idempotency_key": "customer:7"}
    first = api.v1.customers.create({"email": "a@example.com"}, options=options)

    simulator.advance(by_seconds=86_400)
    second = api.v1.customers.create({"email": "a@example.com"}, options=options)

    assert first.id != second.id


def test_sixteen_parallel_calls_under_one_key_make_one_customer(simulator, api):
    def create(_):
        return api.v1.customers.create(
            {"email": "a@example.com"}, options={"idempotency_key": "customer:7"}
        ).id

    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(create, range(16)))

    assert len(found) == 1
    assert len(simulator.state("customer")) == 1
    assert simulator.requests()["POST /v1/customers"] == 1


def test_an_answer_that_never_arrives_is_found_by_the_same_key(simulator):
    simulator.fault("POST /v1/customers", "timeout_after_processing")
    api = sdk(simulator.base_url, retries=2)

    customer = api.v1.customers.create({"email": "a@example.com"})

    assert [one["id"] for one in simulator.state("customer")] == [customer.id]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("http_500", stripe.APIError),
        ("http_429", stripe.RateLimitError),
        ("http_404", stripe.InvalidRequestError),
        ("reset_connection", stripe.APIConnectionError),
        ("partial_body", stripe.APIConnectionError),
        ("timeout_after_processing", stripe.APIConnectionError),
    ],
)
def test_each_trouble_reaches_the_sdk_as_its_own_error(simulator, api, kind, expected):
    simulator.fault("POST /v1/customers", kind)

    with pytest.raises(expected):
        api.v1.customers.create({"email": "a@example.com"})

    processed = 1 if kind in {"timeout_after_processing", "partial_body"} else 0
    assert len(simulator.state("customer")) == processed


def test_lists_are_paged_newest_first_and_both_ways(api):
    made = [api.v1.customers.create({"name": str(number)}).id for number in range(5)]

    first = api.v1.customers.list({"limit": 2})
    second = api.v1.customers.list({"limit": 2, "starting_after": first.data[-1].id})
    back = api.v1.customers.list({"limit": 2, "ending_before": second.data[0].id})

    assert [one.id for one in first.data] == [made[4], made[3]]
    assert first.has_more
    assert [one.id for one in second.data] == [made[2], made[1]]
    assert [one.id for one in back.data] == [one.id for one in first.data]
    assert [one.id for one in api.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


def test_expand_reaches_through_lists_and_several_levels(simulator, api, shop):
    customer = shop.customer()
    shop.subscribe(customer)

    page = api.v1.subscriptions.list(
        {
            "customer": customer.id,
            "expand": ["data.latest_invoice.payments", "data.items.data.price.product"],
        }
    )

    (subscription,) = page.data
    assert subscription.latest_invoice.payments.data[0].status == "paid"
    assert subscription["items"].data[0].price.product.name == "Pro"


def test_what_cannot_be_expanded_is_refused(api, shop):
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        api.v1.prices.retrieve(shop.price.id, {"expand": ["wings"]})


def test_prices_are_found_by_lookup_key_which_can_move(api, shop):
    old = shop.sell(1200, lookup_key="pro_monthly")

    new = shop.sell(1500, lookup_key="pro_monthly", transfer_lookup_key=True)

    assert [one.id for one in api.v1.prices.list({"lookup_keys": ["pro_monthly"]}).data] == [new.id]
    assert api.v1.prices.retrieve(old.id).lookup_key is None


def test_amounts_in_other_currencies_show_when_asked_for(api, shop):
    price = api.v1.prices.retrieve(shop.price.id, {"expand": ["currency_options"]})

    assert price.currency_options["vnd"].unit_amount == 299_000
    assert "currency_options" not in api.v1.prices.retrieve(shop.price.id)


def test_every_answer_names_its_request_and_version(simulator):
    answer = httpx.get(
        f"{simulator.base_url}/v1/customers",
        headers={"Authorization": f"Bearer {KEY}", "Stripe-Version": "2026-05-27.dahlia"},
    )

    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2026-05-27.dahlia"


def test_a_customers_things_are_dated_by_the_customers_clock(api, shop):
    customer = shop.customer(test_clock=shop.clock(1_900_000_000).id)

    subscription = shop.subscribe(customer)

    assert customer.created == 1_900_000_000
    assert subscription.created == 1_900_000_000


def test_everything_survives_a_restart(tmp_path):
    port = process.free_port()
    with process.start(port, tmp_path) as simulator:
        made = sdk(simulator.base_url).v1.customers.create({"email": "a@example.com"})

    with process.start(port, tmp_path) as simulator:
        found = sdk(simulator.base_url).v1.customers.retrieve(made.id)

    assert found.email == "a@example.com"


def test_a_share_of_requests_can_fail(simulator, api):
    simulator.fault("POST /v1/customers", "http_500", times=1000, share=0.5)
    failed = 0

    for _ in range(40):
        try:
            api.v1.customers.create()
        except stripe.APIError:
            failed += 1

    simulator.clear_faults()
    assert 0 < failed < 40
    assert len(simulator.state("customer")) == 40 - failed
