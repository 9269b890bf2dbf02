"""What the page shows, what Stripe previews and what the invoice charges: equal to the minor unit.

Amounts are those of the simulator, which follows Stripe's published rule; Stripe's own rounding was
not compared. The claim tested here is ours: nobody but Stripe computes a price, and none is changed
on its way to the reader.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client

from billing.catalog.money import format_money
from billing.gateway import stripe_api
from billing.models import BillingAccount
from billing.subscription import changes, preview, promotions
from billing.subscription.wishes import Wish
from tests.billing.subscribed import DAY, on_pro, pass_days
from tests.billing.test_promo import offer
from tests.factories.orgs import owner_of

pytestmark = pytest.mark.django_db

TWENTY = {"percent_off": 20, "duration": "forever"}
THIRD = {"percent_off": 33.33, "duration": "forever"}
FIVE_DOLLARS = {"amount_off": 500, "currency": "usd", "duration": "forever"}
DONG = {"amount_off": 55_555, "currency": "vnd", "duration": "forever"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Seats, interval and currency at first; then, `days` later, another wish."""

    name: str
    wish: dict[str, Any]
    seats: int = 3
    interval: str = "month"
    currency: str = "usd"
    days: float = 10
    country: str = ""  # decides the tax; empty collects none
    coupon: dict[str, Any] = field(default_factory=dict)
    credit: int = 0  # the customer's balance, in minor units


def in_both(name: str, **case: Any) -> list[Case]:
    return [
        Case(name=f"{name}, {currency}", currency=currency, **case) for currency in ("usd", "vnd")
    ]


CASES = [
    *in_both("one seat more", wish={"seats": 4}),
    *in_both("many seats more", wish={"seats": 50}),
    *in_both("in the first second", wish={"seats": 4}, days=0),
    *in_both("in the last hours", wish={"seats": 4}, days=27.9),
    *in_both("at an odd second", wish={"seats": 10}, seats=7, days=13.37619),
    *in_both("with tax", wish={"seats": 4}, country="VN"),
    *in_both("with another tax", wish={"seats": 7}, country="CH", days=3.333),
    *in_both("to yearly", wish={"interval": "year"}),
    *in_both("to yearly with tax", wish={"interval": "year"}, country="VN", days=11.7),
    *in_both("to yearly with more seats", wish={"interval": "year", "seats": 9}),
    *in_both("yearly seats", wish={"seats": 5}, interval="year", days=20),
    *in_both("to yearly with a promotion", wish={"interval": "year"}, coupon=TWENTY),
    *in_both("seats with a promotion", wish={"seats": 8}, coupon=THIRD, days=9.99),
    *in_both("promotion and tax", wish={"interval": "year"}, coupon=THIRD, country="DE"),
    *in_both("with credit for a part", wish={"seats": 50}, credit=123),
    *in_both("with credit for all", wish={"seats": 4}, credit=10_000_000),
    Case(name="a fixed sum off, usd", wish={"interval": "year"}, coupon=FIVE_DOLLARS),
    Case(name="a fixed sum off, vnd", wish={"interval": "year"}, currency="vnd", coupon=DONG),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_page_preview_and_invoice_agree(stripe, case):
    organization = arranged(stripe, case)
    shown = page_of(organization, case.wish)
    previewed = preview.of_change(organization, Wish(**case.wish))
    assert previewed.today is not None

    changes.confirm(organization, owner_of(organization), quote_in(shown))

    charged = organization.invoices.newest_first().first()
    today = previewed.today
    assert today.currency == charged.currency == case.currency
    assert [line.amount for line in today.lines] == [line["amount"] for line in charged.lines]
    assert (today.subtotal, today.tax, today.total) == (
        charged.subtotal,
        charged.tax,
        charged.total,
    )
    assert today.due == charged.amount_due == charged.amount_paid
    assert today.subtotal - today.discount + today.tax == today.total
    assert amounts_in(shown, "today-h") == rows_of(today)
    assert (today.tax > 0) == bool(case.country)
    assert (today.from_balance > 0) == bool(case.credit)
    assert (today.discount > 0) == bool(case.coupon and "interval" in case.wish)


def test_the_table_covers_both_currencies_and_is_long_enough():
    names = [case.name for case in CASES]

    assert len(names) == len(set(names)) >= 30
    assert {case.currency for case in CASES} == {"usd", "vnd"}


@pytest.mark.parametrize("currency", ["usd", "vnd"])
@pytest.mark.parametrize("country", ["", "VN"])
def test_what_is_scheduled_costs_at_the_renewal_what_was_expected(stripe, currency, country):
    case = Case(name="", wish={"seats": 2}, currency=currency, country=country, coupon=TWENTY)
    organization = arranged(stripe, case)
    expected = preview.of_change(organization, Wish(seats=2)).next_invoice.receipt
    changes.change(organization, owner_of(organization), Wish(seats=2))

    pass_days(stripe, organization, 22)

    renewal = organization.invoices.newest_first().first()
    assert (expected.total, expected.tax) == (renewal.total, renewal.tax)
    assert renewal.amount_paid == expected.due


def test_more_seats_cost_more_the_longer_they_are_used(stripe):
    organization = on_pro(stripe, seats=1)
    costs = []
    for _ in range(4):
        costs.append(preview.of_change(organization, Wish(seats=2)).due_today)
        pass_days(stripe, organization, 5)

    assert all(earlier > later for earlier, later in pairwise(costs))


def arranged(stripe, case):
    organization = on_pro(stripe, seats=case.seats, interval=case.interval, currency=case.currency)
    customer = stripe.customer_of(organization)
    if case.country:
        stripe_api.update_customer(customer, {"address": {"country": case.country}})
    if case.coupon:
        offer("TABLE", coupon=case.coupon)
        promotions.apply(organization, owner_of(organization), "TABLE")
    if case.credit:
        stripe_api.credit_customer(
            customer, amount=case.credit, currency=case.currency, description="test", key=case.name
        )
    pass_days(stripe, organization, case.days + 1 / DAY)
    assert BillingAccount.objects.get(organization=organization).currency == case.currency
    return organization


def page_of(organization, wish):
    client = Client()
    client.force_login(owner_of(organization))
    answer = client.get(f"/o/{organization.slug}/settings/billing/change/", wish)
    assert answer.status_code == 200
    return answer.content.decode()


def quote_in(html):
    return re.search(r'name="quote" value="([^"]+)"', html)[1]


def amounts_in(html, heading):
    section = re.search(rf'aria-labelledby="{heading}".*?</section>', html, flags=re.DOTALL)[0]
    return re.findall(r"<dd>([^<]+)</dd>", section)


def rows_of(receipt):
    """Every amount that the page must show, in its order, as people write it."""
    amounts = [line.amount for line in receipt.lines]
    amounts += [-receipt.discount] if receipt.discount else []
    amounts += [receipt.tax] if receipt.tax else []
    amounts += [-receipt.from_balance] if receipt.from_balance else []
    return [format_money(amount, receipt.currency) for amount in [*amounts, receipt.due]]
