"""Publishing to Stripe over HTTP: what exists is found, what changed is made anew, never twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connection

from billing.catalog import loading
from billing.catalog.actions import Action
from billing.catalog.apply import CatalogConflict, apply
from billing.catalog.comparison import compare
from billing.catalog.diff import differences
from billing.catalog.shop import PriceDraft, ProductDraft
from billing.exceptions import StripeUnavailable
from billing.gateway import stripe_api
from billing.models import PlanPrice, SubscriptionPlan

pytestmark = pytest.mark.django_db

TERMS = {("month", "usd"), ("month", "vnd"), ("year", "usd"), ("year", "vnd")}


@pytest.fixture
def stocked(plans_alone, stripe_simulator):
    """The default catalogue, in the database and at Stripe."""
    apply(loading.load(plans_alone.path), stripe_api, {})
    stripe_simulator.clear_requests()
    return plans_alone


def test_stripe_has_one_product_per_sold_plan_and_one_price_per_terms(stocked, stripe_simulator):
    products = stripe_simulator.state("product")
    prices = stripe_simulator.state("price")

    assert [(p["name"], p["metadata"]["plan"], p["unit_label"]) for p in products] == [
        ("Pro", "pro", "seat")
    ]
    assert {price["lookup_key"] for price in prices} == {
        f"suite_pro_{interval}_{currency}" for interval, currency in TERMS
    }
    assert {price["tax_behavior"] for price in prices} == {"exclusive"}
    linked = dict(PlanPrice.objects.values_list("stripe_price_id", "unit_amount"))
    assert linked == {price["id"]: price["unit_amount"] for price in prices}
    assert not PlanPrice.objects.filter(livemode=True).exists()
    assert SubscriptionPlan.objects.get(key="pro").stripe_product_id == products[0]["id"]
    assert stripe_simulator.violations() == []


def test_a_second_apply_writes_nothing_anywhere(stocked, stripe_simulator):
    before = _everything()

    applied = apply(loading.load(stocked.path), stripe_api, {})

    assert applied.differences == ()
    assert _everything() == before
    assert [call for call in stripe_simulator.requests() if call.startswith("POST")] == []


def test_a_changed_amount_is_a_new_price_that_takes_the_lookup_key(stocked, stripe_simulator):
    old = _first("month", "usd")
    kept = _ids() - {old.stripe_price_id}
    _raise_the_price(stocked)

    apply(loading.load(stocked.path), stripe_api, {})

    new = PlanPrice.objects.on_sale().get(interval="month", currency="usd")
    at_stripe = {price["id"]: price for price in stripe_simulator.state("price")}
    assert new.unit_amount == at_stripe[new.stripe_price_id]["unit_amount"] == 700
    assert at_stripe[new.stripe_price_id]["lookup_key"] == "suite_pro_month_usd"
    assert at_stripe[old.stripe_price_id]["lookup_key"] is None
    assert at_stripe[old.stripe_price_id]["active"] is False
    assert len(at_stripe) == 5
    assert _ids() == kept | {new.stripe_price_id}


def test_each_price_id_belongs_to_one_version_of_the_plan(stocked):
    old = _first("month", "usd").stripe_price_id
    yearly = _first("year", "usd").stripe_price_id
    _raise_the_price(stocked)

    apply(loading.load(stocked.path), stripe_api, {})

    assert SubscriptionPlan.objects.with_price_id(old).get().version == 1
    assert SubscriptionPlan.objects.with_price_id(yearly).get().version == 2
    assert not SubscriptionPlan.objects.with_price_id("price_of_a_stranger").exists()


def test_an_amount_that_returns_is_sold_again_without_touching_older_subscribers(stocked):
    first = _first("month", "usd")
    _raise_the_price(stocked)
    apply(loading.load(stocked.path), stripe_api, {})
    stocked.edit("month.usd = { amount = 700,", "month.usd = { amount = 600,")

    apply(loading.load(stocked.path), stripe_api, {})

    plans = SubscriptionPlan.objects.filter(key="pro").order_by("version")
    assert [plan.is_on_sale for plan in plans] == [False, False, True]
    first.refresh_from_db()
    assert first.plan == plans[0]
    assert plans[2].prices.get(interval="month", currency="usd").unit_amount == 600
    assert differences(compare(loading.load(stocked.path), stripe_api, {})) == []


def test_an_interrupted_run_is_finished_by_the_next_without_doubles(plans_alone, stripe_simulator):
    catalog = loading.load(plans_alone.path)

    def unplugged(plan):
        if plan == "pro":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(catalog, stripe_api, {}, on_plan=unplugged)
    assert not SubscriptionPlan.objects.exists()
    apply(catalog, stripe_api, {})

    assert len(stripe_simulator.state("product")) == 1
    assert len(stripe_simulator.state("price")) == 4
    assert differences(compare(catalog, stripe_api, {})) == []


@pytest.mark.parametrize("kind", ["timeout_after_processing", "http_500", "reset_connection"])
def test_stripe_away_leaves_the_database_alone_and_the_next_run_mends_it(
    plans_alone, stripe_simulator, kind, settings
):
    settings.STRIPE_TIMEOUT_SECONDS = 1.0
    catalog = loading.load(plans_alone.path)
    stripe_simulator.fault("POST /v1/prices", kind, times=2)

    with pytest.raises(StripeUnavailable):
        apply(catalog, stripe_api, {})

    assert not SubscriptionPlan.objects.exists()
    stripe_simulator.clear_faults()
    apply(catalog, stripe_api, {})
    assert len(stripe_simulator.state("price")) == 4
    assert differences(compare(catalog, stripe_api, {})) == []


def test_a_database_that_was_filled_without_a_key_is_linked_later(plans_alone, stripe_simulator):
    catalog = loading.load(plans_alone.path)
    apply(catalog, None, {})
    assert not PlanPrice.objects.purchasable().exists()

    applied = apply(catalog, stripe_api, {})

    assert {row.action for row in applied.differences} == {Action.CREATE, Action.LINK}
    assert PlanPrice.objects.purchasable().count() == 4
    assert SubscriptionPlan.objects.get(key="pro").version == 1


def test_an_account_of_another_mode_gets_prices_of_its_own(stocked, stripe_simulator):
    test_mode = _ids()
    stripe_simulator.reset()

    apply(loading.load(stocked.path), stripe_api, {})

    assert _ids().isdisjoint(test_mode)
    assert SubscriptionPlan.objects.get(key="pro").version == 1
    assert SubscriptionPlan.objects.with_price_id(test_mode.pop()).get().key == "pro"


def test_a_plan_no_longer_sold_is_archived_at_stripe_and_keeps_its_subscribers(
    stocked, stripe_simulator
):
    ids = _ids()
    _drop_pro(stocked)

    apply(loading.load(stocked.path), stripe_api, {})

    assert [product["active"] for product in stripe_simulator.state("product")] == [False]
    assert {price["active"] for price in stripe_simulator.state("price")} == {False}
    assert all(SubscriptionPlan.objects.with_price_id(price_id).exists() for price_id in ids)
    assert not PlanPrice.objects.purchasable().exists()
    assert differences(compare(loading.load(stocked.path), stripe_api, {})) == []


def test_a_plan_sold_again_gets_prices_of_its_own_and_moves_no_older_subscriber(stocked):
    ids, whole = _ids(), stocked.path.read_text()
    _drop_pro(stocked)
    apply(loading.load(stocked.path), stripe_api, {})
    stocked.path.write_text(whole)

    apply(loading.load(stocked.path), stripe_api, {})

    assert _ids().isdisjoint(ids)
    versions = {SubscriptionPlan.objects.with_price_id(price_id).get().version for price_id in ids}
    assert versions == {1}
    assert differences(compare(loading.load(stocked.path), stripe_api, {})) == []


def test_what_somebody_archived_by_hand_is_put_back_on_sale(stocked, stripe_simulator):
    price = _first("month", "usd")
    stripe_api.archive_price(price.stripe_price_id)
    stripe_api.archive_product(price.plan.stripe_product_id)

    rows = differences(compare(loading.load(stocked.path), stripe_api, {}))
    apply(loading.load(stocked.path), stripe_api, {})

    assert {(row.subject, row.action) for row in rows} == {
        ("price", Action.RESTORE),
        ("product", Action.UPDATE),
    }
    assert {price["active"] for price in stripe_simulator.state("price")} == {True}
    assert differences(compare(loading.load(stocked.path), stripe_api, {})) == []


def test_a_new_name_reaches_stripe(stocked, stripe_simulator):
    stocked.edit('name = { en = "Pro", vi = "Pro" }', 'name = { en = "Plus", vi = "Pro" }')

    apply(loading.load(stocked.path), stripe_api, {})

    assert [product["name"] for product in stripe_simulator.state("product")] == ["Plus"]
    assert SubscriptionPlan.objects.get(key="pro").text("name", "en") == "Plus"


def test_a_plan_that_stops_charging_per_seat_loses_the_label_and_every_price(
    stocked, stripe_simulator
):
    ids = _ids()
    stocked.edit("per_seat = true\n", "")
    stocked.edit('seats = { min = 1, max = 50, cover = "members", beyond = "flag" }\n', "")

    apply(loading.load(stocked.path), stripe_api, {})

    assert not stripe_simulator.state("product")[0]["unit_label"]
    assert _ids().isdisjoint(ids)
    assert len(_ids()) == 4
    assert {
        SubscriptionPlan.objects.with_price_id(price_id).get().per_seat for price_id in ids
    } == {True}
    assert differences(compare(loading.load(stocked.path), stripe_api, {})) == []


# --- Price ids from the environment ------------------------------------------------------------


def test_a_price_id_from_the_environment_is_verified_and_used(plans_alone, stripe_simulator):
    made = _price_made_by_hand(600, "usd", "month")
    environment = {"STRIPE_PRICE_PRO_MONTHLY_USD": made.id}

    apply(loading.load(plans_alone.path), stripe_api, environment)

    sold = _first("month", "usd")
    assert sold.stripe_price_id == made.id
    assert sold.plan.stripe_product_id == made.product
    assert len(stripe_simulator.state("product")) == 1
    assert len(stripe_simulator.state("price")) == 4
    assert differences(compare(loading.load(plans_alone.path), stripe_api, environment)) == []


@pytest.mark.parametrize(
    ("amount", "currency", "interval"),
    [(700, "usd", "month"), (600, "vnd", "month"), (600, "usd", "year")],
)
def test_a_price_id_that_sells_something_else_is_refused_and_nothing_changes(
    plans_alone, stripe_simulator, amount, currency, interval
):
    made = _price_made_by_hand(amount, currency, interval)
    environment = {"STRIPE_PRICE_PRO_MONTHLY_USD": made.id}

    with pytest.raises(CatalogConflict, match=r"STRIPE_PRICE_PRO_MONTHLY_USD: price_.* sells"):
        apply(loading.load(plans_alone.path), stripe_api, environment)

    assert not SubscriptionPlan.objects.exists()
    assert len(stripe_simulator.state("price")) == 1


def test_a_price_id_stripe_does_not_know_is_refused(plans_alone, stripe_simulator):
    environment = {"STRIPE_PRICE_PRO_MONTHLY_USD": "price_of_the_other_mode"}

    with pytest.raises(CatalogConflict, match="has no price price_of_the_other_mode"):
        apply(loading.load(plans_alone.path), stripe_api, environment)


def test_a_price_id_that_sells_another_plan_is_refused(stocked):
    yearly = _first("year", "usd")
    stocked.edit("month.usd = { amount = 600,", "month.usd = { amount = 6000,")
    PlanPrice.objects.filter(pk=yearly.pk).update(
        interval="month", currency="vnd", archived_at=yearly.created_at
    )
    made = _price_made_by_hand(6000, "usd", "month")
    PlanPrice.objects.filter(pk=yearly.pk).update(stripe_price_id=made.id)

    with pytest.raises(CatalogConflict, match="already sells"):
        apply(loading.load(stocked.path), stripe_api, {"STRIPE_PRICE_PRO_MONTHLY_USD": made.id})


def test_a_name_of_the_catalogues_own_document_works_too(stripe_simulator):
    catalog = loading.load(loading.path_of("sessions"))
    made = _price_made_by_hand(499, "usd", "month")

    apply(catalog, stripe_api, {"SFS_STRIPE_PRICE_STARTER": made.id})

    sold = PlanPrice.objects.get(plan__key="starter")
    assert sold.stripe_price_id == made.id


def test_without_a_key_a_price_id_cannot_be_verified_and_is_not_used(plans_alone):
    apply(loading.load(plans_alone.path), None, {"STRIPE_PRICE_PRO_MONTHLY_USD": "price_x"})

    assert not PlanPrice.objects.purchasable().exists()


# --- All five, two at once, and the command ----------------------------------------------------


@pytest.mark.parametrize("name", loading.shipped())
def test_every_shipped_catalogue_publishes_and_then_rests(name, stripe_simulator):
    catalog = loading.load(loading.path_of(name))

    apply(catalog, stripe_api, {})

    assert SubscriptionPlan.objects.of_catalog(name).count() == len(catalog.plans)
    assert differences(compare(catalog, stripe_api, {})) == []
    assert stripe_simulator.violations() == []


@pytest.mark.django_db(transaction=True)
def test_two_operators_at_once_make_every_price_once(plans_alone, stripe_simulator):
    catalog = loading.load(plans_alone.path)

    def publish(_operator):
        try:
            return len(apply(catalog, stripe_api, {}).differences)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as operators:
        changes = sorted(operators.map(publish, range(2)))

    assert changes[0] == 0 < changes[1]
    assert len(stripe_simulator.state("product")) == 1
    assert len(stripe_simulator.state("price")) == 4


def test_the_command_publishes_and_then_says_that_all_agree(plans_alone, stripe_simulator, capsys):
    call_command("catalog", "apply", "--yes", "--catalog", plans_alone.name)
    call_command("catalog", "diff", "--catalog", plans_alone.name)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("create hobby plan terms: file free, database -")
    assert lines[-1] == "suite: file and database and Stripe agree."


def _drop_pro(file):
    text = file.path.read_text()
    start, end = text.index("[plans.pro]"), text.index("[plans.enterprise]")
    file.path.write_text(text[:start] + text[end:])


def _raise_the_price(file):
    file.edit("month.usd = { amount = 600,", "month.usd = { amount = 700,")


def _price_made_by_hand(amount, currency, interval):
    product = stripe_api.create_product(
        ProductDraft(name="Made by hand", description="In the dashboard", tax_code="txcd_10103001")
    )
    return stripe_api.create_price(
        PriceDraft(
            product=product.id,
            currency=currency,
            unit_amount=amount,
            interval=interval,
            lookup_key=f"by-hand-{amount}",
            tax_behavior="exclusive",
        )
    )


def _first(interval, currency):
    return PlanPrice.objects.get(interval=interval, currency=currency)


def _ids():
    return set(PlanPrice.objects.on_sale().values_list("stripe_price_id", flat=True))


def _everything():
    return [list(model.objects.order_by("pk").values()) for model in (SubscriptionPlan, PlanPrice)]
