"""Publishing without Stripe: the database becomes what the file says, once, and says so."""

import json
import tomllib
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from billing.catalog import loading
from billing.catalog.apply import apply
from billing.catalog.comparison import compare
from billing.catalog.diff import differences
from billing.models import PlanLimit, PlanPrice, SubscriptionPlan
from billing.signals import catalog_applied
from orgs.models import AuditEntry
from tests.factories.plans import PlanLimitFactory, PlanPriceFactory, SubscriptionPlanFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(catalog_file):
    """The shipped default catalogue, in the database only."""
    catalog = loading.load(catalog_file.path)
    apply(catalog, None, {})
    return catalog_file


def test_the_first_apply_makes_every_plan_price_and_limit_of_the_document(sold):
    plans = {plan.key: plan for plan in SubscriptionPlan.objects.in_order()}

    assert [*plans] == ["hobby", "pro", "enterprise"]
    assert {plan.version for plan in plans.values()} == {1}
    assert [plan.kind for plan in plans.values()] == ["free", "paid", "contract"]
    assert _prices("pro") == {
        ("month", "usd"): 600,
        ("month", "vnd"): 150_000,
        ("year", "usd"): 6_000,
        ("year", "vnd"): 1_500_000,
    }
    assert _limits("hobby") == {
        "storage": (2 * 2**30, True),
        "members": (5, True),
        "ai_queries": (1_000, True),
    }
    assert _limits("pro") == {
        "storage": (100 * 2**30, True),
        "members": (50, True),
        "ai_queries": (50_000, False),
    }
    assert _limits("enterprise") == {
        "storage": (2**40, True),
        "members": (None, True),
        "ai_queries": (500_000, False),
    }


def test_rates_reach_the_database_as_decimal_strings(sold):
    limits = PlanLimit.objects.filter(plan__key="pro", meter="ai_queries")

    [overage] = limits.values_list("overage", flat=True)

    assert overage is not None
    assert Decimal(overage["rates"]["usd"]) / overage["per"] == Decimal("0.04")
    assert overage["cap"] == {"usd": 2500, "vnd": 625_000}


def test_a_second_apply_changes_nothing(sold):
    before = _everything()
    audited = AuditEntry.objects.count()

    applied = apply(loading.load(sold.path), None, {})

    assert applied.differences == ()
    assert applied.plans == frozenset()
    assert _everything() == before
    assert AuditEntry.objects.count() == audited


def test_a_changed_amount_makes_a_version_and_keeps_the_old_one_for_its_subscribers(sold):
    old = SubscriptionPlan.objects.get(key="pro")
    PlanPrice.objects.filter(plan=old, interval="month", currency="usd").update(
        stripe_price_id="price_old"
    )
    sold.edit("month.usd = { amount = 600,", "month.usd = { amount = 700,")

    applied = apply(loading.load(sold.path), None, {})

    new = SubscriptionPlan.objects.on_sale().get(key="pro")
    old.refresh_from_db()
    assert (old.version, new.version) == (1, 2)
    assert old.archived_at is not None
    assert applied.plans == {new.pk}
    assert SubscriptionPlan.objects.with_price_id("price_old").get() == old
    assert old.prices.get().unit_amount == 600
    assert _prices("pro") == {
        ("month", "usd"): 700,
        ("month", "vnd"): 150_000,
        ("year", "usd"): 6_000,
        ("year", "vnd"): 1_500_000,
    }
    assert old.limits.count() == new.limits.count() == 3


def test_a_changed_limit_holds_for_everybody_on_the_version(sold):
    sold.edit('storage = { amount = "100 GB"', 'storage = { amount = "200 GB"')

    applied = apply(loading.load(sold.path), None, {})

    plan = SubscriptionPlan.objects.get(key="pro")
    assert plan.version == 1
    assert _limits("pro")["storage"] == (200 * 2**30, True)
    assert {(row.subject, row.name) for row in applied.differences} == {
        ("plan", "data"),
        ("limit", "storage"),
    }
    assert applied.plans == {plan.pk}


def test_a_plan_that_stops_charging_per_seat_sells_something_else(sold):
    sold.edit("per_seat = true\n", "")
    sold.edit('seats = { min = 1, max = 50, cover = "members", beyond = "flag" }\n', "")

    apply(loading.load(sold.path), None, {})

    old, new = SubscriptionPlan.objects.filter(key="pro").order_by("version")
    assert (old.per_seat, new.per_seat) == (True, False)
    assert old.prices.count() == new.prices.count() == 4


def test_a_plan_the_file_no_longer_has_is_archived_with_its_limits(sold):
    document = sold.path.read_text()
    start, end = document.index("[plans.enterprise]"), document.index("# --- Packs")
    sold.path.write_text(document[:start] + document[end:])

    apply(loading.load(sold.path), None, {})

    archived = SubscriptionPlan.objects.get(key="enterprise")
    assert archived.archived_at is not None
    assert archived.limits.count() == 3
    assert differences(compare(loading.load(sold.path), None, {})) == []


def test_a_plan_that_returns_is_a_new_version(sold):
    whole = sold.path.read_text()
    start, end = whole.index("[plans.enterprise]"), whole.index("# --- Packs")
    sold.path.write_text(whole[:start] + whole[end:])
    apply(loading.load(sold.path), None, {})
    sold.path.write_text(whole)

    apply(loading.load(sold.path), None, {})

    versions = SubscriptionPlan.objects.filter(key="enterprise").order_by("version")
    assert [(plan.version, plan.is_on_sale) for plan in versions] == [(1, False), (2, True)]


def test_a_meter_the_file_no_longer_has_loses_its_limits(sold):
    document = tomllib.loads(sold.path.read_text())
    del document["meters"]["ai_queries"], document["credit_packs"]
    document["matrix"][0]["rows"].remove("ai_queries")
    for plan in document["plans"].values():
        del plan["limits"]["ai_queries"]
    catalog = loading.parse(document, sold.path)

    apply(catalog, None, {})

    assert set(_limits("pro")) == {"storage", "members"}
    assert differences(compare(catalog, None, {})) == []


def test_another_catalogue_in_the_same_database_is_left_alone(sold):
    stranger = SubscriptionPlanFactory.create(catalog="elsewhere", key="pro")

    apply(loading.load(sold.path), None, {})

    stranger.refresh_from_db()
    assert stranger.is_on_sale


def test_an_apply_is_audited_and_told_to_the_floors_above(catalog_file):
    told = []

    def listen(**message):
        told.append((message["catalog"], message["plans"]))

    catalog_applied.connect(listen)
    applied = apply(loading.load(catalog_file.path), None, {})
    catalog_applied.disconnect(listen)

    entry = AuditEntry.objects.get(action="catalog.applied")
    assert entry.after is not None
    assert len(entry.after["differences"]) == len(applied.differences) > 0
    assert told == [(entry.target, applied.plans)]


# --- The command -----------------------------------------------------------------------------


def test_a_dry_run_shows_and_changes_nothing(catalog_file, capsys):
    call_command("catalog", "apply", "--dry-run", "--no-stripe", "--catalog", catalog_file.name)

    lines = capsys.readouterr().out.splitlines()
    assert "create pro price month usd: file 600, database -, Stripe -" in lines
    assert not SubscriptionPlan.objects.exists()


def test_nobody_to_agree_means_nothing_is_applied(catalog_file, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    with pytest.raises(CommandError, match="say --yes"):
        call_command("catalog", "apply", "--no-stripe", "--catalog", catalog_file.name)

    assert not SubscriptionPlan.objects.exists()


@pytest.fixture
def terminal(monkeypatch):
    """A person at a wide terminal; `terminal("y")` types that, and what was asked is returned."""

    def types(answer):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "160")
        asked = []

        def ask(question):
            asked.append(question)
            return answer

        monkeypatch.setattr("builtins.input", ask)
        return asked

    return types


@pytest.mark.parametrize("answer", ["y", "Yes", " YES "])
def test_a_person_sees_the_table_is_asked_and_agrees(plans_alone, terminal, capsys, answer):
    asked = terminal(answer)

    call_command("catalog", "apply", "--no-stripe", "--catalog", plans_alone.name)

    printed = capsys.readouterr().out
    assert "apply will" in printed
    assert "month usd" in printed
    assert asked == ["Apply 16 changes? [y/N] "]
    assert SubscriptionPlan.objects.count() == 3


@pytest.mark.parametrize("answer", ["n", "", "yeah?"])
def test_anything_but_yes_changes_nothing(catalog_file, terminal, answer):
    terminal(answer)

    with pytest.raises(CommandError, match="nothing was changed"):
        call_command("catalog", "apply", "--no-stripe", "--catalog", catalog_file.name)

    assert not SubscriptionPlan.objects.exists()


def test_an_apply_for_programs_answers_json_alone(plans_alone, capsys):
    call_command(
        "catalog", "apply", "--yes", "--json", "--no-stripe", "--catalog", plans_alone.name
    )

    answer = json.loads(capsys.readouterr().out)
    assert len(answer["plans"]) == SubscriptionPlan.objects.count() == 3
    assert {row["subject"] for row in answer["applied"]} == {"plan", "price", "limit"}


def test_programs_read_the_difference_as_json(sold, capsys):
    sold.edit("members = 5 ", "members = 6 ")

    call_command("catalog", "diff", "--json", "--no-stripe", "--catalog", sold.name)

    answer = json.loads(capsys.readouterr().out)
    assert answer["stripe"] is False
    limit = next(row for row in answer["differences"] if row["subject"] == "limit")
    assert (limit["plan"], limit["name"], limit["action"]) == ("hobby", "members", "update")
    assert (limit["file"], limit["database"]) == (
        "6 hard per organization",
        "5 hard per organization",
    )


def test_the_exit_code_tells_a_difference(sold):
    call_command("catalog", "diff", "--exit-code", "--no-stripe", "--catalog", sold.name)
    sold.edit("members = 5 ", "members = 6 ")

    with pytest.raises(SystemExit) as caught:
        call_command("catalog", "diff", "--exit-code", "--no-stripe", "--catalog", sold.name)

    assert caught.value.code == 1


def test_check_prints_every_mistake_and_fails(sold, capsys):
    sold.edit('default_plan = "hobby"', 'default_plan = "gold"')

    with pytest.raises(CommandError, match="1 of 2 cannot be used"):
        call_command("catalog", "check", sold.name, "suite")

    printed = capsys.readouterr()
    assert f"{sold.path.name}: default_plan: no plan is called 'gold'" in printed.err
    assert "suite.toml: 3 plans, valid" in printed.out


# --- The database refuses what the code must never do ------------------------------------------


REFUSED = {
    "plan_limit_amount_in_range": lambda plan: PlanLimitFactory.create(plan=plan, amount=-1),
    "plan_limit_per": lambda plan: PlanLimitFactory.create(plan=plan, per="galaxy"),
    "plan_limit_only_a_soft_amount_bills_overage": lambda plan: PlanLimitFactory.create(
        plan=plan, hard=True, overage={"per": 1}
    ),
    "plan_limit_one_per_meter": lambda plan: PlanLimitFactory.create_batch(2, plan=plan),
    "plan_price_currency_is_iso": lambda plan: PlanPriceFactory.create(plan=plan, currency="USD"),
    "plan_price_interval": lambda plan: PlanPriceFactory.create(plan=plan, interval="week"),
    "plan_price_not_negative": lambda plan: PlanPriceFactory.create(plan=plan, unit_amount=-1),
    "plan_price_stripe_id_not_empty": lambda plan: PlanPriceFactory.create(
        plan=plan, stripe_price_id=""
    ),
    "plan_price_one_per_terms": lambda plan: [
        PlanPriceFactory.create(plan=plan, lookup_key=key) for key in ("one", "two")
    ],
    "plan_price_one_per_lookup_key": lambda plan: [
        PlanPriceFactory.create(plan=plan, lookup_key="one", interval=interval)
        for interval in ("month", "year")
    ],
    "subscription_plan_version_once": lambda plan: SubscriptionPlanFactory.create(key=plan.key),
    "subscription_plan_one_version_on_sale": lambda plan: SubscriptionPlanFactory.create(
        key=plan.key, version=2
    ),
    "subscription_plan_version_from_one": lambda _plan: SubscriptionPlanFactory.create(version=0),
    "subscription_plan_kind": lambda _plan: SubscriptionPlanFactory.create(kind="gift"),
    "subscription_plan_flat_sells_one_seat": lambda _plan: SubscriptionPlanFactory.create(
        per_seat=False, max_seats=5
    ),
    "subscription_plan_seats_in_order": lambda _plan: SubscriptionPlanFactory.create(
        per_seat=True, min_seats=3, max_seats=2
    ),
    "subscription_plan_product_id_not_empty": lambda _plan: SubscriptionPlanFactory.create(
        stripe_product_id=""
    ),
}


@pytest.mark.parametrize("constraint", REFUSED)
def test_the_database_refuses_rows_that_make_no_sense(constraint):
    plan = SubscriptionPlanFactory.create()

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        REFUSED[constraint](plan)


def test_unlimited_and_nothing_are_both_limits():
    assert PlanLimitFactory.create(amount=None).amount is None
    assert PlanLimitFactory.create(amount=0).amount == 0
    assert PlanLimitFactory.create(amount=10**15).amount == 10**15
    with pytest.raises(IntegrityError, match="plan_limit_amount_in_range"), transaction.atomic():
        PlanLimitFactory.create(amount=10**15 + 1)


def test_a_plan_speaks_the_readers_language_and_never_grants_what_is_planned():
    plan = SubscriptionPlanFactory.create(
        texts={"en": {"name": "Team"}, "vi": {"name": "Nhóm"}},
        features={"sync": "available", "sso": "planned"},
    )

    assert [plan.text("name", code) for code in ("en", "vi", "vi-VN", "fr")] == [
        "Team",
        "Nhóm",
        "Nhóm",
        "Team",
    ]
    assert [plan.offers(key) for key in ("sync", "sso", "wings")] == [True, False, False]


def _prices(plan):
    prices = PlanPrice.objects.on_sale().filter(plan__key=plan)
    return {(price.interval, price.currency): price.unit_amount for price in prices}


def _limits(plan):
    limits = PlanLimit.objects.filter(plan__key=plan, plan__archived_at=None)
    return {limit.meter: (limit.amount, limit.hard) for limit in limits}


def _everything():
    return [
        list(model.objects.order_by("pk").values())
        for model in (SubscriptionPlan, PlanPrice, PlanLimit)
    ]
