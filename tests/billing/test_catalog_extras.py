"""What is sold beside plans: a meter, prices of usage, packs; published once, changed by adding."""

from decimal import Decimal

import pytest
from django.core.management import call_command

from billing.catalog import loading
from billing.catalog.actions import Action
from billing.catalog.apply import apply
from billing.catalog.comparison import compare
from billing.catalog.diff import differences
from billing.gateway import stripe_api
from billing.models import ExtraPrice, StripeMeter

pytestmark = pytest.mark.django_db


@pytest.fixture
def stocked(catalog_file, stripe_simulator):
    apply(loading.load(catalog_file.path), stripe_api, {})
    stripe_simulator.clear_requests()
    return catalog_file


def test_stripe_has_a_meter_and_a_price_for_each_extra(stocked, stripe_simulator):
    [meter] = stripe_simulator.state("billing.meter")
    extras = [one for one in stripe_simulator.state("price") if "extra" in one["metadata"]]

    assert meter["event_name"] == "suite_ai_queries"
    assert {one["lookup_key"]: one["unit_amount_decimal"] for one in extras} == {
        "suite_overage_pro_ai_queries_month_usd": "0.04",
        "suite_overage_pro_ai_queries_month_vnd": "10",
        "suite_overage_pro_ai_queries_year_usd": "0.04",
        "suite_overage_pro_ai_queries_year_vnd": "10",
        "suite_addon_storage_10gb_month_usd": "200",
        "suite_addon_storage_10gb_month_vnd": "50000",
        "suite_addon_storage_10gb_year_usd": "2000",
        "suite_addon_storage_10gb_year_vnd": "500000",
        "suite_credits_ai_10k_usd": "400",
        "suite_credits_ai_10k_vnd": "100000",
    }
    metered = [one for one in extras if (one["recurring"] or {}).get("meter")]
    assert {one["recurring"]["meter"] for one in metered} == {meter["id"]}
    assert len(metered) == 4
    assert StripeMeter.objects.get().stripe_id == meter["id"]
    assert stripe_simulator.violations() == []


def test_a_second_apply_writes_nothing(stocked, stripe_simulator):
    applied = apply(loading.load(stocked.path), stripe_api, {})

    assert applied.differences == ()
    assert not [call for call in stripe_simulator.requests() if call.startswith("POST")]


def test_another_rate_is_another_price_and_the_old_one_is_kept_for_its_subscribers(
    stocked, stripe_simulator
):
    before = ExtraPrice.objects.get(lookup_key="suite_overage_pro_ai_queries_month_usd")
    stocked.edit('rates = { usd = "40", vnd = "10000" }', 'rates = { usd = "55.5", vnd = "10000" }')
    catalog = loading.load(stocked.path)

    shown = {row.name: row.action for row in differences(compare(catalog, stripe_api, {}))}
    apply(catalog, stripe_api, {})

    before.refresh_from_db()
    after = ExtraPrice.objects.on_sale().get(lookup_key=before.lookup_key)
    prices = {one["id"]: one for one in stripe_simulator.state("price")}
    assert shown["overage ai_queries month usd"] == Action.REPLACE
    assert before.archived_at is not None
    assert not prices[before.stripe_price_id]["active"]
    assert prices[after.stripe_price_id]["unit_amount_decimal"] == "0.0555"
    assert after.unit_amount == Decimal("0.0555")
    assert differences(compare(catalog, stripe_api, {})) == []


def test_a_bigger_pack_for_the_same_money_leaves_the_sold_ones_as_they_are(stocked):
    small = ExtraPrice.objects.get(lookup_key="suite_addon_storage_10gb_month_usd")
    stocked.edit('amount = "10 GB"', 'amount = "20 GB"')

    apply(loading.load(stocked.path), stripe_api, {})

    big = ExtraPrice.objects.on_sale().get(lookup_key=small.lookup_key)
    assert (small.units, big.units) == (10 * 2**30, 20 * 2**30)
    assert big.stripe_price_id != small.stripe_price_id


def test_what_is_no_longer_sold_cannot_be_bought(stocked, stripe_simulator):
    stocked.leave_out("credit_packs.")

    apply(loading.load(stocked.path), stripe_api, {})

    assert not ExtraPrice.objects.of_kind("credits").on_sale().exists()
    gone = [one for one in stripe_simulator.state("price") if one["unit_amount"] == 400]
    assert [one["active"] for one in gone] == [False]


def test_a_database_filled_without_a_key_is_linked_later(catalog_file, stripe_simulator):
    catalog = loading.load(catalog_file.path)
    apply(catalog, None, {})

    apply(catalog, stripe_api, {})

    assert ExtraPrice.objects.purchasable().count() == 10
    assert differences(compare(catalog, stripe_api, {})) == []


def test_an_account_of_another_mode_gets_meters_and_prices_of_its_own(stocked, stripe_simulator):
    stripe_simulator.reset()

    apply(loading.load(stocked.path), stripe_api, {})

    assert StripeMeter.objects.get().stripe_id == stripe_simulator.state("billing.meter")[0]["id"]
    assert ExtraPrice.objects.purchasable().count() == 10


def test_the_command_names_meter_and_extras(catalog_file, stripe_simulator, capsys):
    call_command("catalog", "diff", "--catalog", catalog_file.name)

    printed = capsys.readouterr().out
    assert "meter ai_queries" in printed
    assert "extra addon storage_10gb month usd" in printed
