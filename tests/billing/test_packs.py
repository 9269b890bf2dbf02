"""Packs: add-ons are items of the subscription and raise its limits; credits are paid once."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from billing.entitlement import store
from billing.exceptions import CurrencyFixed, NotOffered
from billing.gateway import breaker, stripe_api
from billing.models import PackPurchase, Subscription
from billing.subscription import changes, credit_packs, preview
from billing.subscription.wishes import Wish
from orgs.exceptions import Unprocessable
from orgs.models import Organization
from quotas.engine import enforcement
from quotas.models import Credit, UsageLimit
from tests.billing.overage import METER, use
from tests.billing.racing import at_once
from tests.billing.subscribed import default_on_renewal, on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of

pytestmark = pytest.mark.django_db
GB = 2**30
PACK, CREDITS = "storage_10gb", "ai_10k"


def limit_of(organization, meter="storage"):
    store.current(organization)
    return UsageLimit.objects.get(organization=organization, meter=meter).amount


def buys(organization, number):
    return changes.change(organization, owner_of(organization), Wish(addons={PACK: number}))


def items_of(organization):
    return len(Subscription.objects.get(organization=organization).items)


def browser(organization):
    client = Client()
    client.force_login(owner_of(organization))
    return client


def page(client, organization):
    return client.get(f"/o/{organization.slug}/settings/billing/").content.decode()


# --- Add-ons ----------------------------------------------------------------------------------


def test_a_pack_costs_what_its_preview_says_and_raises_the_limit_at_once(stripe):
    organization = on_pro(stripe, seats=3, days=10)
    shown = preview.of_change(organization, Wish(addons={PACK: 2}))

    changes.confirm(organization, owner_of(organization), shown.quote)

    charged = organization.invoices.newest_first().first()
    assert shown.at_once
    assert shown.due_today == charged.amount_paid > 0
    assert [(c.meter, c.before, c.after) for c in shown.consequences.limits] == [
        ("storage", 100 * GB, 120 * GB)
    ]
    assert limit_of(organization) == 120 * GB
    assert store.current(organization).seats == 3
    assert stripe.simulator.violations() == []


def test_a_pack_given_up_stays_until_the_end_of_what_is_paid(stripe):
    organization = on_pro(stripe, days=3)
    buys(organization, 2)

    done = buys(organization, 0)
    kept = limit_of(organization)
    pass_days(stripe, organization, 31)

    assert not done.at_once
    assert kept == 120 * GB
    assert limit_of(organization) == 100 * GB
    assert items_of(organization) == 2  # the plan and its usage
    assert organization.invoices.newest_first().first().total == 600


def test_giving_up_can_be_undone(stripe):
    organization = on_pro(stripe, days=3)
    buys(organization, 2)
    buys(organization, 1)
    before = page(browser(organization), organization)

    changes.keep(organization, owner_of(organization))
    pass_days(stripe, organization, 31)

    assert "1 from Dec" in before
    assert limit_of(organization) == 120 * GB


def test_packs_and_seats_given_up_one_after_the_other_both_end(stripe):
    organization = on_pro(stripe, seats=3, days=3)
    buys(organization, 1)
    changes.change(organization, owner_of(organization), Wish(seats=2))
    buys(organization, 0)

    pass_days(stripe, organization, 31)

    assert store.current(organization).seats == 2
    assert limit_of(organization) == 100 * GB


def test_packs_follow_the_subscription_to_another_interval(stripe):
    organization = on_pro(stripe, days=3)
    buys(organization, 2)

    changes.change(organization, owner_of(organization), Wish(interval="year"))

    assert limit_of(organization) == 120 * GB
    invoice = organization.invoices.newest_first().first()
    assert {line["amount"] for line in invoice.lines} >= {6_000, 2 * 2_000}


def test_more_packs_wait_for_nothing_and_seats_change_beside_them(stripe):
    organization = on_pro(stripe, days=3)
    buys(organization, 1)
    changes.change(organization, owner_of(organization), Wish(seats=4))
    buys(organization, 3)

    assert limit_of(organization) == 130 * GB
    assert store.current(organization).seats == 4


def test_what_the_plan_does_not_have_is_refused(stripe):
    organization = on_pro(stripe)

    with pytest.raises(NotOffered):
        preview.of_change(organization, Wish(addons={"storage_1pb": 1}))
    with pytest.raises(Unprocessable):
        preview.of_change(organization, Wish(addons={PACK: 101}))


def test_a_declined_card_gives_no_pack(stripe):
    organization = on_pro(stripe, days=3)
    stripe.simulator.set_card(stripe.customer_of(organization), "decline")

    with pytest.raises(stripe_api.CardDeclined):
        buys(organization, 1)

    assert limit_of(organization) == 100 * GB
    assert items_of(organization) == 2


def test_the_page_shows_packs_and_leads_to_their_price(stripe):
    organization = on_pro(stripe, days=3)
    client = browser(organization)

    shown = page(client, organization)
    priced = client.get(
        f"/o/{organization.slug}/settings/billing/change/", {"addon": PACK, "packs": "2"}
    )

    assert "+10 GB storage" in shown
    assert "$2.00 a month" in shown
    assert "Storage: 100 GB → 120 GB" in priced.content.decode()


def test_the_api_buys_packs_as_it_changes_seats(stripe):
    organization = on_pro(stripe, days=3)
    headers = {"authorization": f"Bearer {api_token_for(owner_of(organization))}"}

    def call(path, body):
        body = {"organization": organization.slug, **body}
        return Client().post(
            f"/api/v1/billing/{path}", body, content_type="application/json", headers=headers
        )

    shown = call("preview", {"addons": {PACK: 1}}).json()
    done = call("change", {"quote": shown["quote"]}).json()
    listed = Client().get("/api/v1/billing/packs", headers=headers).json()

    assert shown["addons"] == done["addons"] == listed["addons"] == {PACK: 1}
    assert {(one["pack"], one["interval"]) for one in listed["packs"]} == {
        (PACK, "month"), (PACK, "year"), (CREDITS, ""),
    }  # fmt: skip
    assert limit_of(organization) == 110 * GB


# --- Credits ----------------------------------------------------------------------------------


def ordered(stripe, organization=None):
    organization = organization or OrganizationFactory.create()
    return credit_packs.start(organization, owner_of(organization), CREDITS)


def paid(stripe, purchase, card="success"):
    stripe.simulator.complete_checkout(purchase.session_id, card)


def credits_of(organization):
    return list(Credit.objects.filter(organization=organization).values_list("amount", "remaining"))


@pytest.mark.parametrize("ways", ["page", "webhook", "sweeper", "all of them, twice"])
def test_a_paid_pack_is_credited_once_however_we_hear_of_it(stripe, ways):
    purchase = ordered(stripe)
    organization = purchase.organization
    paid(stripe, purchase)

    for _ in range(2 if "twice" in ways else 1):
        if ways != "page" and "sweeper" not in ways:
            stripe.deliver_all(organization)
        if "page" in ways or "all" in ways:
            url = f"/o/{organization.slug}/settings/billing/credits/return/"
            browser(organization).get(url, {"session_id": purchase.session_id})
        if "sweeper" in ways or "all" in ways:
            PackPurchase.objects.update(created_at="2026-01-01T00:00:00Z")
            credit_packs.settle_waiting()

    assert credits_of(organization) == [(10_000, 10_000)]
    assert stripe.simulator.violations() == []


def test_an_unpaid_pack_credits_nothing(stripe):
    purchase = ordered(stripe)

    stripe.simulator.expire_checkout(purchase.session_id)
    stripe.deliver_all(purchase.organization)

    purchase.refresh_from_db()
    assert purchase.state == "expired"
    assert credits_of(purchase.organization) == []


def test_the_page_of_credits_says_what_became_of_the_payment(stripe):
    organization = on_pro(stripe)
    owner = browser(organization)
    base = f"/o/{organization.slug}/settings/billing/credits"

    def said(answer):
        return " ".join(map(str, get_messages(answer.wsgi_request)))

    def comes_back(purchase):
        return said(owner.get(f"{base}/return/", {"session_id": purchase.session_id}))

    assert "has no pack" in said(owner.post(f"{base}/", {"pack": "no-such"}))
    leads = owner.post(f"{base}/", {"pack": CREDITS})
    purchase = PackPurchase.objects.get()
    assert (leads.status_code, leads["Location"]) == (303, purchase.url)
    assert "follow when the payment arrives" in comes_back(purchase)
    stripe.simulator.fault("GET /v1/checkout/sessions/*", "http_500", times=2)
    assert "Stripe does not answer" in comes_back(purchase)
    stripe.simulator.clear_faults()
    breaker.answered()
    paid(stripe, purchase)
    assert "are yours" in comes_back(purchase)
    assert credits_of(organization) == [(10_000, 10_000)]

    given_up = ordered(stripe, organization)
    stripe.simulator.expire_checkout(given_up.session_id)
    assert "Nothing was charged" in comes_back(given_up)
    assert owner.get(f"{base}/return/", {"session_id": "cs_of_nobody"}).status_code == 303


def test_who_has_a_currency_buys_packs_in_it_alone(stripe):
    organization = Organization.objects.get(pk=on_pro(stripe).pk)

    with pytest.raises(CurrencyFixed):
        credit_packs.start(organization, owner_of(organization), CREDITS, currency="vnd")


def test_a_wish_from_which_stripe_never_heard_is_closed_by_the_sweeper(stripe):
    """The process died between our row and Stripe's answer, and nobody came back."""
    purchase = ordered(stripe)
    PackPurchase.objects.update(session_id=None, created_at="2026-01-01T00:00:00Z")
    other = ordered(stripe)
    PackPurchase.objects.filter(pk=other.pk).update(created_at="2026-01-01T00:00:00Z")
    stripe.simulator.fault("GET /v1/checkout/sessions/*", "http_500", times=9)

    assert credit_packs.settle_waiting() == 0

    purchase.refresh_from_db()
    other.refresh_from_db()
    assert (purchase.state, other.state) == ("expired", "open")


def test_the_same_wish_leads_to_the_same_page_until_it_is_paid(stripe):
    first = ordered(stripe)
    again = ordered(stripe, first.organization)
    paid(stripe, first)
    stripe.deliver_all(first.organization)

    second = ordered(stripe, first.organization)

    assert again.pk == first.pk
    assert second.pk != first.pk


def test_credits_are_used_after_the_allowance_and_bill_nothing(stripe):
    organization = on_pro(stripe)
    purchase = ordered(stripe, organization)
    paid(stripe, purchase)
    stripe.deliver_all(organization)

    use(organization, 50_000 + 4_000)

    assert credits_of(organization) == [(10_000, 6_000)]
    assert "6,000 prepaid left" in page(browser(organization), organization)
    invoice = organization.invoices.newest_first().first()
    assert (invoice.total, invoice.status) == (400, "paid")


def test_a_refund_takes_back_what_is_left_by_its_share(stripe):
    organization = on_pro(stripe)
    purchase = ordered(stripe, organization)
    paid(stripe, purchase)
    stripe.deliver_all(organization)
    enforcement.record(organization, METER, 53_000, idempotency_key="used")
    purchase.refresh_from_db()

    refund(stripe, organization, purchase, 200)
    half = credits_of(organization)
    refund(stripe, organization, purchase, 200)

    assert half == [(5_000, 2_000)]
    assert credits_of(organization) == [(3_000, 0)]


@pytest.mark.parametrize(("policy", "left"), [("lock", (3_000, 0)), ("flag", (10_000, 7_000))])
def test_a_lost_dispute_takes_a_pack_back_where_the_catalogue_answers_one(
    stripe, settings, catalog_file, policy, left
):
    catalog_file.edit('lost_dispute = "lock"', f'lost_dispute = "{policy}"')
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)
    paid(stripe, ordered(stripe, organization))
    stripe.deliver_all(organization)
    enforcement.record(organization, METER, 53_000, idempotency_key="used")
    dispute = stripe.simulator.dispute(stripe.customer_of(organization))["dispute"]
    stripe.deliver(stripe.simulator.events("charge.dispute.created"))
    while_open = credits_of(organization)

    stripe.simulator.close_dispute(dispute, "lost")
    stripe.deliver(stripe.simulator.events("charge.dispute.closed"))
    stripe.deliver(stripe.simulator.events())

    assert while_open == [(10_000, 7_000)]
    assert credits_of(organization) == [left]


def test_credits_end_when_they_expire(stripe):
    organization = on_pro(stripe)
    purchase = ordered(stripe, organization)
    paid(stripe, purchase)
    stripe.deliver_all(organization)

    pass_days(stripe, organization, 366)

    assert "prepaid left" not in page(browser(organization), organization)


def test_nothing_new_is_bought_while_an_invoice_is_owed(stripe, settings):
    settings.CATALOG = "suite"
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 4)

    with pytest.raises(Exception, match="read-only"):
        ordered(stripe, organization)


@pytest.mark.django_db(transaction=True)
def test_page_and_webhook_at_the_same_moment_credit_once(stripe):
    purchase = ordered(stripe)
    organization = purchase.organization
    paid(stripe, purchase)

    at_once(4, lambda _n: credit_packs.settle(organization, purchase.session_id))

    assert credits_of(organization) == [(10_000, 10_000)]


def refund(stripe, organization, purchase, amount):
    known = {event["id"] for event in stripe.simulator.events()}
    stripe_api.client().v1.refunds.create(
        {"payment_intent": purchase.payment_intent_id, "amount": amount}
    )
    stripe.deliver(event for event in stripe.simulator.events() if event["id"] not in known)
