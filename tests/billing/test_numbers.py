"""Revenue, churn and conversion, counted from what was recorded."""

import csv
from datetime import UTC, timedelta
from fractions import Fraction
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.insight import funnel, numbers, revenue, visits
from billing.models import (
    CheckoutIntent,
    EffectivePlan,
    EffectivePlanChange,
    Grant,
    Invoice,
    PlanPrice,
    PlansVisit,
    Source,
    Subscription,
)
from tests.billing.selling import invoice, pays, plan, put_on_sale, unpaid
from tests.factories.orgs import OrganizationFactory, owner_of

pytestmark = pytest.mark.django_db
NOW = timezone.now()
SINCE = NOW - timedelta(days=30)


@pytest.fixture(autouse=True)
def on_sale():
    put_on_sale()


def price(interval="month", currency="usd"):
    return plan("pro").prices.on_sale().for_terms(interval, currency).get()


def told(organization, days_ago, **verdict):
    """What the history says of it since then: Pro by Stripe unless told otherwise."""
    interval, currency = verdict.pop("interval", "month"), verdict.pop("currency", "usd")
    at = NOW - timedelta(days=days_ago)
    fields = {
        "plan": plan("pro"), "source": Source.STRIPE, "status": "active", "seats": 1,
        "interval": interval, "currency": currency, "reason": "a test",
        "price_id": price(interval, currency).stripe_price_id,
    }  # fmt: skip
    EffectivePlanChange.objects.create(
        organization=organization,
        sequence=organization.plan_changes.count() + 1000,
        at=at,
        recorded_at=at,
        **fields | verdict,
    )


def gone(organization, days_ago):
    told(organization, days_ago, source=Source.DEFAULT, plan=plan("hobby"), price_id="")


def team():
    organization = OrganizationFactory.create()
    EffectivePlanChange.objects.filter(organization=organization).delete()
    return organization


def movement(currency="usd"):
    found = revenue.between(SINCE, NOW)
    return next(one for one in found.movements if one.currency == currency)


def test_revenue_moves_as_organizations_come_grow_shrink_leave_and_return():
    stayed, grew, shrank, left, returned, came = (team() for _ in range(6))
    told(stayed, 90, seats=10)
    told(grew, 90, seats=2)
    told(grew, 10, seats=5)
    told(shrank, 90, seats=8)
    told(shrank, 10, seats=3)
    told(left, 90, seats=4)
    gone(left, 10)
    told(returned, 200, seats=1)
    gone(returned, 100)
    told(returned, 5, seats=1)
    told(came, 3, seats=7)

    found = movement()

    assert found.start == 600 * (10 + 2 + 8 + 4)
    assert (found.new, found.returned) == (4200, 600)
    assert (found.more, found.less, found.lost) == (1800, 3000, 2400)
    assert found.end == 600 * (10 + 5 + 3 + 1 + 7)
    assert (
        found.start + found.new + found.returned + found.more - found.less - found.lost == found.end
    )
    assert (found.logos_start, found.logos_lost, found.logos_end) == (4, 1, 5)
    assert found.logo_churn == Fraction(1, 4)
    assert found.gross_churn == Fraction(5400, 14400)
    assert found.net_churn == Fraction(3600, 14400)


def test_a_year_counts_a_twelfth_and_is_rounded_once_at_the_end():
    year = PlanPrice.objects.filter(pk=price("year").pk)
    year.update(unit_amount=1_000)
    for _ in range(3):
        told(team(), 5, interval="year")

    assert movement().end == Fraction(3_000, 12)
    assert revenue.rounded(Fraction(1_000, 12)) == 83
    assert revenue.rounded(Fraction(5, 2)) == 3


def test_currencies_are_never_added_up_and_a_change_of_currency_is_a_loss_and_a_gain():
    mover = team()
    told(mover, 90, seats=2)
    told(mover, 5, seats=2, currency="vnd")

    assert movement("usd").lost == 1_200
    assert movement("vnd").returned == 300_000
    assert movement("usd").end == 0


def test_trials_contracts_and_unknown_prices_are_no_revenue():
    told(team(), 5, status="trialing")
    told(team(), 5, source=Source.CONTRACT)
    told(team(), 5, price_id="price_of_nobody")

    found = revenue.between(SINCE, NOW)

    assert found.movements == ()
    assert found.unknown == {"price_of_nobody"}


def couponed(organization, *discounts):
    """Its subscription at Stripe, with what takes something off."""
    Subscription.objects.create(
        organization=organization, stripe_id=f"sub_{organization.pk.hex[:8]}", status="active",
        customer_id=f"cus_{organization.pk.hex[:8]}", created_at=SINCE, livemode=False,
        currency="usd", discounts=list(discounts),
    )  # fmt: skip
    return f"sub_{organization.pk.hex[:8]}"


def test_coupons_take_off_what_they_take_off_every_invoice_while_they_hold():
    ago = (NOW - timedelta(days=10)).isoformat()
    soon = (NOW + timedelta(days=10)).isoformat()
    third = {"percent_off": 33.3, "starts_at": None, "ends_at": None}
    cases: list[tuple[list[dict[str, Any]], Any]] = [
        ([third], Fraction(4002, 10)),
        ([{"amount_off": 150, "currency": "usd", "starts_at": ago, "ends_at": soon}], 450),
        ([third, {"amount_off": 100, "currency": "usd"}], Fraction(3002, 10)),
        ([{"amount_off": 100, "currency": "vnd"}], 600),
        ([{"percent_off": 50, "once": True}], 600),
        ([{"percent_off": 50, "starts_at": soon}], 600),
        ([{"percent_off": 50, "ends_at": ago}], 600),
        ([{"amount_off": 900, "currency": "usd"}], 0),
    ]
    for discounts, _monthly in cases:
        organization = team()
        told(organization, 5, subscription_id=couponed(organization, *discounts))
    yearly = team()
    PlanPrice.objects.filter(pk=price("year").pk).update(unit_amount=6_000)
    off = {"amount_off": 1_200, "currency": "usd"}
    told(yearly, 5, interval="year", subscription_id=couponed(yearly, off))

    found = movement()

    assert found.end == sum(monthly for _discounts, monthly in cases) + 400
    assert found.logos_end == len(cases)  # whoever pays nothing is no customer


def test_a_coupon_that_began_in_between_is_a_smaller_revenue():
    organization = team()
    began = {"percent_off": 50, "starts_at": (NOW - timedelta(days=10)).isoformat()}
    told(organization, 90, subscription_id=couponed(organization, began))

    assert (movement().start, movement().less, movement().end) == (600, 300, 300)


def test_nothing_is_divided_by_nothing():
    told(team(), 5)

    assert movement().logo_churn is None
    assert numbers.percent(None) == ""


def test_an_upgrade_is_counted_from_the_plans_page_to_the_payment():
    day = NOW.astimezone(UTC).date()
    looker, orderer, payer, outsider = (team() for _ in range(4))
    for organization in (looker, orderer, payer):
        PlansVisit.objects.create(organization=organization, day=day - timedelta(days=2))
    PlansVisit.objects.create(organization=payer, day=day)
    for organization in (orderer, payer, outsider):
        CheckoutIntent.objects.create(
            organization=organization,
            price=price(),
            seats=1,
            created_at=NOW - timedelta(days=1),
            state="completed" if organization == payer else "expired",
            completed_at=NOW if organization == payer else None,
        )

    found = funnel.upgrades(SINCE, NOW)

    assert (found.looked, found.ordered, found.paid) == (3, 2, 1)
    assert found.rate == Fraction(1, 3)


def test_a_visit_is_noted_once_a_day_and_not_for_those_who_pay(client):
    free, payer = OrganizationFactory.create(), OrganizationFactory.create()
    pays(payer)
    for organization in (free, free, payer):
        client.force_login(owner_of(organization))
        page = client.get(reverse("billing:settings", args=[organization.slug]))
        assert page.status_code == 200

    assert list(PlansVisit.objects.values_list("organization", flat=True)) == [free.pk]
    visits.note(free)
    assert PlansVisit.objects.count() == 1


def test_trials_convert_end_or_run_on():
    converted, ended, running, at_stripe = (team() for _ in range(4))
    for organization, days in ((converted, 20), (ended, 20), (running, 2)):
        start = NOW - timedelta(days=days)
        Grant.objects.create(
            organization=organization,
            source=Source.TRIAL,
            plan_key="pro",
            reason="trial",
            starts_at=start,
            created_at=start,
            ends_at=start + timedelta(days=14),
        )
    told(converted, 8)
    Subscription.objects.create(
        organization=at_stripe, stripe_id="sub_t", customer_id="cus_t", status="trialing",
        livemode=False, currency="usd", created_at=NOW - timedelta(days=9),
        trial_end=NOW + timedelta(days=5),
    )  # fmt: skip

    found = funnel.trials(SINCE, NOW)

    assert (found.began, found.converted, found.ended, found.running) == (4, 1, 1, 2)
    assert found.rate == Fraction(1, 2)


def test_what_is_owed_is_counted_by_currency():
    grace, locked, dong, fresh = (OrganizationFactory.create() for _ in range(4))
    for organization, reason in ((grace, "payment_failed_grace"), (locked, "payment_failed_lock")):
        pays(organization, reason=reason)
        unpaid(organization)
    unpaid(dong, currency="vnd", amount_remaining=150_000)
    unpaid(fresh, attempt_count=0)
    Invoice.objects.filter(organization=locked).update(status="uncollectible")
    invoice(grace)

    found = {one.currency: one for one in funnel.owed()}

    usd = found["usd"]
    assert (usd.organizations, usd.amount, usd.in_grace, usd.restricted) == (2, 12_710, 1, 1)
    assert (found["vnd"].organizations, found["vnd"].amount) == (1, 150_000)


def test_the_page_shows_every_figure_with_its_formula_at_a_constant_cost(admin_client, settings):
    settings.ADMIN_REQUIRES_MFA = False
    told(team(), 90, seats=2)
    with CaptureQueriesContext(connection) as captured:
        numbers.of()
    for _ in range(3):
        told(team(), 5, seats=3)
    with CaptureQueriesContext(connection) as again:
        numbers.of()
    assert len(captured) == len(again)

    page = admin_client.get(reverse("admin:numbers"), {"days": "90"}).content.decode()

    assert "$66.00" in page
    assert "Logo churn = organizations lost" in page
    rows = csv.DictReader(StringIO(admin_client.get(reverse("admin:numbers-csv")).content.decode()))
    figures = {(row["metric"], row["currency"]): row["value"] for row in rows}
    assert figures["mrr_end", "USD"] == "6600"
    assert figures["mrr_start", "USD"] == "1200"
    assert admin_client.get(reverse("admin:numbers"), {"days": "x"}).status_code == 200


def test_the_present_book_agrees_with_the_history():
    organization = OrganizationFactory.create()
    pays(organization)
    EffectivePlan.objects.filter(organization=organization).update(reason="paid")
    told(organization, 0.0001, seats=10)

    assert revenue.totals(revenue.present()) == {"usd": 6_000}
    assert movement().end == 6_000
