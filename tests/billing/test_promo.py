"""Promo codes: used, explained, shown, and ended by themselves."""

import time
from typing import Any

import pytest

from billing.exceptions import NotSubscribed, PromotionRefused
from billing.gateway import stripe_api
from billing.models import OutboxMessage
from billing.presentation import standing_notes
from billing.subscription import preview, promotions
from billing.subscription.wishes import Wish
from tests.billing.subscribed import on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(stripe):
    return on_pro(stripe, seats=5)


def offer(code, *, coupon=None, **how):
    """A promotion code at Stripe, 20 % off for three months unless the coupon says otherwise."""
    terms: Any = coupon or {"percent_off": 20, "duration": "repeating", "duration_in_months": 3}
    named: Any = {"name": code, **terms}
    made = stripe_api.client().v1.coupons.create(named)
    wanted: Any = {"promotion": {"type": "coupon", "coupon": made.id}, "code": code, **how}
    return stripe_api.client().v1.promotion_codes.create(wanted)


def use(organization, code):
    return promotions.apply(organization, owner_of(organization), code)


def standing(organization):
    return standing_notes.standing_of(organization)


def test_a_code_takes_something_off_and_the_page_says_until_when(organization):
    offer("LAUNCH20")

    applied = use(organization, " launch20 ")

    assert applied.discount is not None
    assert applied.discount.percent_off == 20
    sentence = standing_notes.discount(standing(organization))
    assert sentence.startswith("LAUNCH20 is active: 20% off until ")


def test_the_next_invoice_is_that_much_smaller(organization, stripe):
    offer("LAUNCH20")
    use(organization, "LAUNCH20")
    expected = preview.of_change(organization, Wish(interval="year")).next_invoice

    pass_days(stripe, organization, 31.1)

    renewal = organization.invoices.newest_first().first()
    assert renewal.total == 5 * 600 * 80 // 100
    assert expected.receipt.discount > 0


def test_a_discount_that_has_run_out_is_not_shown(organization, stripe):
    offer("ONEMONTH", coupon={"percent_off": 10, "duration": "repeating", "duration_in_months": 1})
    use(organization, "ONEMONTH")

    pass_days(stripe, organization, 32)

    assert standing_notes.discount(standing(organization)) == ""


def test_what_a_discount_was_is_known_too_where_its_subscription_had_ended_first(
    organization, stripe
):
    offer("LAUNCH20")
    use(organization, "LAUNCH20")
    heard_before = organization.subscriptions.get()
    stripe_api.cancel_subscription(heard_before.stripe_id, key="end")
    organization.subscriptions.all().delete()

    stripe.deliver_all(organization)

    heard_after = organization.subscriptions.get()
    assert heard_after.status == "canceled"
    assert heard_after.discounts == heard_before.discounts != []


def test_a_fixed_sum_in_another_currency_is_explained(organization):
    offer("DONG", coupon={"amount_off": 50_000, "currency": "vnd", "duration": "once"})

    with pytest.raises(PromotionRefused) as refusal:
        use(organization, "DONG")

    assert refusal.value.extra["reason"] == "currency"


def test_an_expired_code_is_called_expired(organization, stripe):
    offer("SUMMER", expires_at=int(time.time()) + 2)
    time.sleep(2.5)

    with pytest.raises(PromotionRefused, match="has expired") as refusal:
        use(organization, "SUMMER")

    assert refusal.value.extra["reason"] == "expired"


def test_a_code_that_was_taken_back_is_no_longer_active(organization):
    code = offer("GONE")
    stripe_api.client().v1.promotion_codes.update(code.id, {"active": False})

    with pytest.raises(PromotionRefused) as refusal:
        use(organization, "GONE")

    assert refusal.value.extra["reason"] == "inactive"


def test_a_code_used_as_often_as_it_may_be_is_used_up(organization, stripe):
    offer("FIRSTONLY", max_redemptions=1)
    use(on_pro(stripe), "FIRSTONLY")

    with pytest.raises(PromotionRefused) as refusal:
        use(organization, "FIRSTONLY")

    assert refusal.value.extra["reason"] in {"used_up", "inactive"}


def test_a_code_of_another_customer_does_not_exist_here(organization, stripe):
    other = on_pro(stripe)
    offer("MINE", customer=stripe.customer_of(other))

    with pytest.raises(PromotionRefused) as refusal:
        use(organization, "MINE")

    assert refusal.value.extra["reason"] == "unknown"


def test_a_code_for_new_customers_is_refused_in_stripes_words(organization):
    offer("NEWHERE", restrictions={"first_time_transaction": True})

    with pytest.raises(PromotionRefused, match="prior transactions"):
        use(organization, "NEWHERE")


@pytest.mark.parametrize("code", ["", "   ", "NOSUCH", "x" * 65, "<script>"])
def test_an_unknown_code_is_explained(organization, code):
    with pytest.raises(PromotionRefused) as refusal:
        use(organization, code)

    assert refusal.value.extra["reason"] == "unknown"


def test_one_code_at_a_time(organization):
    offer("LAUNCH20")
    offer("OTHER10", coupon={"percent_off": 10, "duration": "forever"})
    use(organization, "LAUNCH20")

    with pytest.raises(PromotionRefused) as same:
        use(organization, "LAUNCH20")
    with pytest.raises(PromotionRefused) as other:
        use(organization, "OTHER10")

    assert same.value.extra["reason"] == "active"
    assert other.value.extra["reason"] == "another_active"


def test_without_a_subscription_the_code_belongs_on_the_payment_page(stripe):
    offer("LAUNCH20")

    with pytest.raises(NotSubscribed, match="payment page"):
        use(OrganizationFactory.create(), "LAUNCH20")


def test_a_code_entered_at_checkout_is_shown_with_its_name(stripe):
    offer("LAUNCH20")
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    stripe.simulator.complete_checkout(intent.session_id, "success", promotion_code="LAUNCH20")

    stripe.deliver_all(organization)

    assert "LAUNCH20" in standing_notes.discount(standing(organization))


def test_a_code_of_our_own_gives_credit_once(stripe, settings, catalog_file):
    catalog_file.edit(
        "[beta]\nenabled = false",
        "[promotions.credits.WELCOME]\n[promotions.credits.WELCOME.amounts]\n"
        "usd = { amount = 1000 }\n\n[beta]\nenabled = false",
    )
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)

    applied = use(organization, "welcome")
    with pytest.raises(PromotionRefused) as again:
        use(organization, "WELCOME")

    assert (applied.credit, applied.currency) == (1000, "usd")
    assert again.value.extra["reason"] == "used"
    pass_days(stripe, organization, 31.1)
    renewal = organization.invoices.newest_first().first()
    assert renewal.amount_due == max(0, renewal.total - 1000)
    assert OutboxMessage.objects.filter(kind="mail.credit_added").count() == 1
