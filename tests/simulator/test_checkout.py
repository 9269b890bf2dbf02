import pytest
import stripe

from tests.stripe_simulator.client import Refused
from tests.stripe_simulator.lifecycle.sequences import CHECKOUT_PAID, CHECKOUT_TRIAL

HANOI = {"country": "VN", "line1": "1 Tràng Tiền", "city": "Hà Nội", "postal_code": "10000"}
TYPED = {"email": "owner@example.com", "name": "Hà", **HANOI}


def test_a_paid_checkout_starts_an_active_subscription(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(customer, subscription_data={"metadata": {"organization": "7"}})

    answer = simulator.complete_checkout(session.id)

    subscription = api.v1.subscriptions.retrieve(answer["subscription"])
    assert (answer["status"], answer["payment_status"]) == ("complete", "paid")
    assert answer["redirect_url"] == f"http://shop.test/done?session={session.id}"
    assert subscription.status == "active"
    assert subscription.metadata["organization"] == "7"
    assert subscription["items"].data[0].current_period_end > subscription.created


def test_the_events_of_a_paid_checkout_come_in_stripes_order(simulator, shop):
    session = shop.session(shop.customer())
    before = len(simulator.events())

    simulator.complete_checkout(session.id)

    happened = [event["type"] for event in simulator.events()[before:]]
    expected = [kind for kind in CHECKOUT_PAID if kind in happened]
    assert list(dict.fromkeys(happened)) == expected
    assert happened.count("customer.updated") == 1
    assert "invoice.paid" in happened
    assert happened[-1] == "invoice_payment.paid"


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [("decline", "generic_decline"), ("insufficient_funds", "insufficient_funds")],
)
def test_a_refused_card_leaves_the_session_open(simulator, api, shop, card, decline_code):
    session = shop.session(shop.customer())

    with pytest.raises(Refused) as refused:
        simulator.complete_checkout(session.id, card)

    assert refused.value.status == 402
    assert refused.value.error["decline_code"] == decline_code
    assert api.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert simulator.complete_checkout(session.id)["payment_status"] == "paid"


def test_a_failed_bank_challenge_charges_nothing(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(customer)

    with pytest.raises(Refused):
        simulator.complete_checkout(session.id, "3ds", challenge="fail")

    assert api.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data == []


def test_a_debit_that_is_still_on_its_way_activates_nothing(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(customer)

    answer = simulator.complete_checkout(session.id, "bank_debit_succeeds")

    subscription = api.v1.subscriptions.retrieve(answer["subscription"])
    assert (answer["status"], answer["payment_status"]) == ("complete", "unpaid")
    assert subscription.status == "incomplete"


def test_a_debit_that_succeeds_days_later_activates_the_subscription(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(customer)
    answer = simulator.complete_checkout(session.id, "bank_debit_succeeds")

    simulator.advance(customer=customer.id, by_seconds=5 * 86_400)

    assert api.v1.subscriptions.retrieve(answer["subscription"]).status == "active"
    assert api.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert len(simulator.events("checkout.session.async_payment_succeeded")) == 1


def test_a_debit_that_fails_days_later_never_activates(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(customer)
    answer = simulator.complete_checkout(session.id, "bank_debit_fails")

    simulator.advance(customer=customer.id, by_seconds=5 * 86_400)

    assert api.v1.subscriptions.retrieve(answer["subscription"]).status == "incomplete_expired"
    assert len(simulator.events("checkout.session.async_payment_failed")) == 1
    assert simulator.events("invoice.paid") == []


def test_a_session_cannot_be_paid_twice(simulator, shop):
    session = shop.session(shop.customer())
    simulator.complete_checkout(session.id)

    with pytest.raises(Refused) as refused:
        simulator.complete_checkout(session.id)

    assert "complete" in refused.value.error["message"]


def test_a_session_expires_with_the_clock_of_its_customer(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(customer)

    simulator.advance(customer=customer.id, by_seconds=86_400)

    assert api.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert len(simulator.events("checkout.session.expired")) == 1


def test_tax_is_added_for_the_country_that_was_typed(simulator, api, shop):
    session = shop.session(
        shop.customer(),
        currency="vnd",
        automatic_tax={"enabled": True},
        customer_update={"address": "auto"},
    )

    answer = simulator.complete_checkout(session.id, address=HANOI)

    subscription = api.v1.subscriptions.retrieve(
        answer["subscription"], {"expand": ["latest_invoice"]}
    )
    assert subscription.latest_invoice.subtotal == 299_000
    assert subscription.latest_invoice.total == 328_900
    assert api.v1.checkout.sessions.retrieve(session.id).total_details.amount_tax == 29_900


def test_tax_without_an_address_to_go_by_is_refused(shop):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.session(shop.customer(), automatic_tax={"enabled": True})

    assert refused.value.code == "customer_tax_location_invalid"


def test_two_currencies_for_one_customer_are_refused(simulator, shop):
    customer = shop.customer()
    simulator.complete_checkout(shop.session(customer, currency="vnd").id)

    with pytest.raises(stripe.InvalidRequestError, match="combine currencies"):
        shop.session(customer, currency="usd")


def test_a_trial_with_a_card_starts_with_an_invoice_of_nothing(simulator, api, shop):
    session = shop.session(shop.customer(), subscription_data={"trial_period_days": 14})

    answer = simulator.complete_checkout(session.id)

    subscription = api.v1.subscriptions.retrieve(
        answer["subscription"], {"expand": ["latest_invoice"]}
    )
    assert answer["payment_status"] == "no_payment_required"
    assert subscription.status == "trialing"
    assert subscription.default_payment_method
    assert subscription.latest_invoice.total == 0


def test_saving_a_card_makes_a_setup_intent(simulator, api, shop):
    customer = shop.customer()
    session = api.v1.checkout.sessions.create(
        {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": "http://x/"}
    )

    simulator.complete_checkout(session.id)

    found = api.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert found.setup_intent.status == "succeeded"
    assert len(api.v1.customers.payment_methods.list(customer.id).data) == 1


def test_a_single_payment_is_charged_once(simulator, api, shop):
    once = api.v1.prices.create({"product": shop.product.id, "currency": "usd", "unit_amount": 500})
    session = shop.session(mode="payment", line_items=[{"price": once.id, "quantity": 2}])

    simulator.complete_checkout(session.id)

    found = api.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert found.payment_intent.amount_received == 1000
    assert found.payment_status == "paid"


def test_the_page_works_as_a_plain_form(browser, api, shop):
    session = shop.session(shop.customer(), billing_address_collection="required")
    page = browser.get(session.url)

    answer = browser.post(session.url, data={**TYPED, "card": "success", "action": "pay"})

    assert "Simulator" in page.text
    assert "<script" not in page.text
    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://shop.test/done?session={session.id}"


def test_the_page_shows_a_decline_in_stripes_words(browser, shop):
    session = shop.session(shop.customer())

    answer = browser.post(session.url, data={**TYPED, "card": "decline", "action": "pay"})

    assert answer.status_code == 402
    assert "Your card was declined." in answer.text


def test_the_page_sends_a_3ds_card_to_the_bank_first(browser, api, shop):
    session = shop.session(shop.customer())

    asked = browser.post(session.url, data={**TYPED, "card": "3ds", "action": "pay"})
    bank = httpx_join(session.url, asked.headers["location"])
    failed = browser.post(bank, data={"challenge": "fail"})
    passed = browser.post(bank, data={"challenge": "complete"})

    assert failed.status_code == 402
    assert "unable to authenticate" in failed.text
    assert passed.headers["location"].startswith("http://shop.test/done")
    assert api.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_the_page_takes_a_promotion_code(browser, api, shop):
    coupon = api.v1.coupons.create({"percent_off": 20, "duration": "forever", "name": "Launch"})
    api.v1.promotion_codes.create(
        {"code": "LAUNCH20", "promotion": {"type": "coupon", "coupon": coupon.id}}
    )
    session = shop.session(shop.customer(), allow_promotion_codes=True)

    wrong = browser.post(session.url, data={"action": "promotion", "promotion_code": "NOPE"})
    right = browser.post(session.url, data={"action": "promotion", "promotion_code": "launch20"})

    assert "The promotion code NOPE is invalid." in wrong.text
    assert "$9.60" in right.text
    assert api.v1.checkout.sessions.retrieve(session.id).amount_total == 960


def test_dong_have_no_decimals_on_the_page(browser, shop):
    session = shop.session(shop.customer(), currency="vnd")

    page = browser.get(session.url)

    assert "299.000 ₫" in page.text


def test_a_finished_or_expired_page_says_so(simulator, browser, api, shop):
    paid, expired = shop.session(shop.customer()), shop.session(shop.customer())
    simulator.complete_checkout(paid.id)
    api.v1.checkout.sessions.expire(expired.id)

    assert "It cannot be paid twice" in browser.get(paid.url).text
    assert "has expired" in browser.get(expired.url).text


def httpx_join(base, path):
    return "/".join(base.split("/")[:3]) + path


def test_a_trial_can_begin_without_a_card(simulator, api, shop):
    customer = shop.customer()
    session = shop.session(
        customer,
        payment_method_collection="if_required",
        subscription_data={
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        },
    )

    answer = simulator.complete_checkout(session.id)
    simulator.advance(customer=customer.id, by_seconds=8 * 86_400)

    ended = api.v1.subscriptions.retrieve(answer["subscription"])
    assert (ended.status, ended.default_payment_method) == ("canceled", None)


def test_a_promotion_code_can_ask_for_a_minimum(simulator, api, shop):
    coupon = api.v1.coupons.create({"percent_off": 20, "duration": "once"})
    api.v1.promotion_codes.create(
        {
            "code": "BIG",
            "promotion": {"type": "coupon", "coupon": coupon.id},
            "restrictions": {"minimum_amount": 5000, "minimum_amount_currency": "usd"},
        }
    )
    session = shop.session(shop.customer(), allow_promotion_codes=True)

    with pytest.raises(Refused, match="minimum amount"):
        simulator.complete_checkout(session.id, promotion_code="BIG")

    assert api.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_the_events_of_a_trial_with_a_card_come_in_stripes_order(simulator, shop):
    session = shop.session(shop.customer(), subscription_data={"trial_period_days": 14})
    before = len(simulator.events())

    simulator.complete_checkout(session.id)

    happened = [event["type"] for event in simulator.events()[before:]]
    expected = [kind for kind in CHECKOUT_TRIAL if kind in happened]
    assert happened == expected
    assert happened[-1] == "customer.subscription.created"
