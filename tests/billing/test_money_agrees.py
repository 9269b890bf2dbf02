"""Page, API, Stripe's invoice and our own row: one amount, to the minor unit, in USD and VND.

Every walk is the life of one organization; every step of it is a case. Amounts are those of the
simulator, which follows Stripe's published rule; Stripe's own rounding was not compared. The claim
tested here is ours: nobody but Stripe computes a price, and none is changed on its way.
"""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from billing.catalog.money import format_money
from billing.gateway import stripe_api
from billing.subscription import promotions
from orgs.models import Organization
from tests.billing.overage import INCLUDED, use
from tests.billing.stripe_events import Stripe
from tests.billing.subscribed import DAY, on_pro, pass_days
from tests.billing.test_promo import offer
from tests.factories.orgs import api_token_for, owner_of

pytestmark = pytest.mark.django_db
PACK = "storage_10gb"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What has happened `days` after the step before, and what is wished then."""

    name: str
    wish: dict[str, Any]
    days: float
    promotion: bool = False
    credit: int = 0  # the customer's balance, in minor units
    units: int = 0  # of AI queries
    # What must be on the invoice, so that no case is empty by accident.
    shows: tuple[str, ...] = ()


STEPS = [
    Step(name="one seat more in the first second", wish={"seats": 4}, days=1 / DAY),
    Step(name="many seats at an odd second", wish={"seats": 40}, days=9.37619),
    Step(name="packs", wish={"addons": {PACK: 3}}, days=1.5),
    Step(name="a part paid by credit", wish={"seats": 45}, days=2, credit=123, shows=("credit",)),
    Step(
        name="seats under a promotion",
        wish={"seats": 50, "addons": {PACK: 7}},
        days=1,
        promotion=True,
    ),
    Step(
        name="to yearly with packs, promotion and usage so far",
        wish={"interval": "year"},
        days=3.14159,
        units=INCLUDED + 7_777,
        shows=("discount", "usage"),
    ),
    Step(name="yearly packs after a month", wish={"addons": {PACK: 9}}, days=40.5),
    Step(
        name="all paid by credit",
        wish={"addons": {PACK: 10}},
        days=100,
        credit=10_000_000,
        shows=("credit",),
    ),
]
SCHEDULED = Step(name="what the renewal takes away", wish={"seats": 2, "addons": {PACK: 1}}, days=9)


@dataclass(frozen=True)
class Walk:
    currency: str
    country: str  # decides the tax; empty collects none

    @property
    def coupon(self) -> dict[str, Any]:
        """A share where no tax is, a fixed sum where there is some."""
        if not self.country:
            return {"percent_off": 33.33, "duration": "forever"}
        sums = {"usd": 555, "vnd": 55_555}
        return {
            "amount_off": sums[self.currency],
            "currency": self.currency,
            "duration": "forever",
        }

    def __str__(self) -> str:
        return f"{self.currency} {self.country or 'without tax'}"


SHORT = [Walk(currency, country) for currency in ("usd", "vnd") for country in ("", "VN")]
LONG = [Walk(currency, country) for currency in ("usd", "vnd") for country in ("CH", "DE", "US")]


def test_the_table_is_long_enough_and_covers_both_currencies():
    assert len(SHORT) * len(STEPS) >= 30
    assert {walk.currency for walk in SHORT} == {"usd", "vnd"}


@pytest.mark.parametrize(
    "walk", [*SHORT, *(pytest.param(walk, marks=pytest.mark.verify) for walk in LONG)], ids=str
)
def test_every_step_costs_what_it_said(stripe, walk):
    organization = begun(stripe, walk)
    clients = Clients(organization)
    for step in STEPS:
        arrange(stripe, organization, walk, step)
        shown, told = clients.page(step.wish), clients.api("preview", step.wish)

        clients.confirm(shown)

        own = organization.invoices.newest_first().first()
        charged = stripe_api.client().v1.invoices.retrieve(own.stripe_id).to_dict()
        case = f"{walk}: {step.name}"
        assert figures_told(told["today"]) == figures_charged(charged) == figures_kept(own), case
        assert told["today"]["due"] == own.amount_due == own.amount_paid, case
        assert amounts_in(shown, "today-h") == written(told["today"]), case
        assert bool(told["today"]["tax"]) == bool(walk.country and walk.country != "US"), case
        for what in step.shows:
            assert _is_shown(what, told["today"]), f"{case}: no {what}"
    assert stripe.simulator.violations() == []


@pytest.mark.parametrize("walk", SHORT[1::2], ids=str)
def test_what_is_scheduled_costs_at_the_renewal_what_was_expected(stripe, walk):
    organization = begun(stripe, walk)
    clients = Clients(organization)
    clients.confirm(clients.page({"seats": 4, "addons": {PACK: 3}}))
    arrange(stripe, organization, walk, SCHEDULED)
    shown, told = clients.page(SCHEDULED.wish), clients.api("preview", SCHEDULED.wish)

    clients.confirm(shown)
    pass_days(stripe, organization, 23)

    renewal = organization.invoices.newest_first().first()
    expected = told["next_invoice"]["receipt"]
    assert told["today"] is None
    assert (expected["total"], expected["tax"]) == (renewal.total, renewal.tax)
    assert expected["due"] == renewal.amount_paid
    assert amounts_in(shown, "next-h")[-1] == format_money(renewal.amount_paid, walk.currency)


def begun(stripe: Stripe, walk: Walk) -> Organization:
    organization = on_pro(stripe, seats=3, currency=walk.currency)
    if walk.country:
        customer = stripe.customer_of(organization)
        stripe_api.update_customer(customer, {"address": {"country": walk.country}})
    return organization


def arrange(stripe: Stripe, organization: Organization, walk: Walk, step: Step) -> None:
    pass_days(stripe, organization, step.days)
    if step.promotion:
        offer("TABLE", coupon=walk.coupon)
        promotions.apply(organization, owner_of(organization), "TABLE")
    if step.units:
        use(organization, step.units)
    if step.credit:
        stripe_api.credit_customer(
            stripe.customer_of(organization),
            amount=step.credit,
            currency=walk.currency,
            description="a gift",
            key=f"{organization.pk}:{step.name}",
        )


class Clients:
    """The owner, by browser and by API."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.browser = Client()
        self.browser.force_login(owner_of(organization))
        self.token = api_token_for(owner_of(organization))
        self.change = f"/o/{organization.slug}/settings/billing/change/"

    def page(self, wish: dict[str, Any]) -> str:
        packs = wish.get("addons", {})
        query = {key: value for key, value in wish.items() if key != "addons"}
        for key, number in packs.items():
            query |= {"addon": key, "packs": number}
        answer = self.browser.get(self.change, query)
        assert answer.status_code == 200, answer.content.decode()[:500]
        return answer.content.decode()

    def confirm(self, shown: str) -> None:
        quote = re.search(r'name="quote" value="([^"]+)"', shown)[1]
        assert self.browser.post(self.change, {"quote": quote}).status_code == 303

    def api(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        answer = Client().post(
            f"/api/v1/billing/{path}",
            {"organization": self.organization.slug, **wish},
            content_type="application/json",
            headers={"authorization": f"Bearer {self.token}"},
        )
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found


def figures_told(receipt):
    lines = [line["amount"] for line in receipt["lines"]]
    return receipt["currency"], lines, receipt["subtotal"], receipt["tax"], receipt["total"]


def figures_charged(invoice):
    lines = [line["amount"] for line in invoice["lines"]["data"]]
    tax = sum(one["amount"] for one in invoice["total_taxes"])
    return invoice["currency"], lines, invoice["subtotal"], tax, invoice["total"]


def figures_kept(row):
    lines = [line["amount"] for line in row.lines]
    return row.currency, lines, row.subtotal, row.tax, row.total


def amounts_in(html, heading):
    section = re.search(rf'aria-labelledby="{heading}".*?</section>', html, flags=re.DOTALL)[0]
    return re.findall(r"<dd>([^<]+)</dd>", section)


def written(receipt):
    """Every amount that the page must show, in its order, as people write it."""
    lines = [line for line in receipt["lines"] if line["amount"] or line["quantity"]]
    amounts = [line["amount"] for line in lines]
    amounts += [-receipt["discount"]] if receipt["discount"] else []
    amounts += [receipt["tax"]] if receipt["tax"] else []
    amounts += [-receipt["total"]] if receipt["total"] < 0 else []
    amounts += [-receipt["from_balance"]] if receipt["from_balance"] else []
    return [format_money(amount, receipt["currency"]) for amount in [*amounts, receipt["due"]]]


def _is_shown(what, receipt):
    match what:
        case "credit":
            return receipt["from_balance"] > 0
        case "discount":
            return receipt["discount"] > 0
        case _:
            return any("(metered)" in line["description"] for line in receipt["lines"])
