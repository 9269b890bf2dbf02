"""The life of a subscription under a moving clock."""

import time

import pytest
import stripe

from tests.stripe_simulator.client import Refused

HOUR, DAY = 3600, 86_400
MONTH = 31 * DAY


def happened(simulator, since=0):
    """Kinds of events in order, without the clock's own."""
    kinds = [event["type"] for event in simulator.events()[since:]]
    return [kind for kind in kinds if not kind.startswith("test_helpers.")]


def moved(simulator, customer, seconds):
    """Advance a customer's clock and tell what happened meanwhile."""
    since = len(simulator.events())
    simulator.advance(customer=customer.id, by_seconds=seconds)
    return happened(simulator, since)


@pytest.fixture
def customer(shop):
    return shop.customer()


def test_a_renewal_drafts_at_the_boundary_and_charges_an_hour_later(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    end = subscription["items"].data[0].current_period_end
    simulator.advance(customer=customer.id, to=end - HOUR)

    at_boundary = moved(simulator, customer, HOUR)
    an_hour_later = moved(simulator, customer, HOUR)

    assert at_boundary == ["invoice.created", "customer.subscription.updated"]
    assert an_hour_later == [
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.finalized",
        "invoice_payment.paid",
    ]
    renewed = api.v1.subscriptions.retrieve(subscription.id)
    assert renewed["items"].data[0].current_period_start == end
    assert renewed.status == "active"


def test_the_next_invoice_is_announced_a_week_before(simulator, shop, customer):
    shop.subscribe(customer)

    happened_before = moved(simulator, customer, 23 * DAY)
    announced = moved(simulator, customer, 2 * DAY)

    assert happened_before == []
    assert announced == ["invoice.upcoming"]
    assert "id" not in simulator.events("invoice.upcoming")[0]["data"]["object"]


def test_a_failed_renewal_is_retried_and_ends_the_subscription(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")

    first = moved(simulator, customer, MONTH + 2 * HOUR)
    past_due = api.v1.subscriptions.retrieve(subscription.id).status
    rest = moved(simulator, customer, 16 * DAY)

    assert first[-7:] == [
        "invoice.finalized",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.updated",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ]
    assert past_due == "past_due"
    assert rest.count("invoice.payment_failed") == 3
    assert rest[-1] == "customer.subscription.deleted"
    ended = api.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    last = simulator.events("invoice.payment_failed")[-1]["data"]["object"]
    assert last["next_payment_attempt"] is None


@pytest.mark.parametrize(("setting", "status"), [("unpaid", "unpaid"), ("past_due", "past_due")])
def test_used_up_retries_end_as_the_account_says(simulator, api, shop, customer, setting, status):
    simulator.options(dunning_exhausted=setting, dunning_days=[1])
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")

    simulator.advance(customer=customer.id, by_seconds=MONTH + 3 * DAY)

    assert api.v1.subscriptions.retrieve(subscription.id).status == status


def test_a_card_that_works_again_settles_the_next_retry(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "insufficient_funds")
    simulator.advance(customer=customer.id, by_seconds=MONTH + 2 * HOUR)
    simulator.set_card(customer.id, None)

    retried = moved(simulator, customer, 3 * DAY)

    assert retried == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoice_payment.paid",
    ]
    assert api.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_paying_by_hand_moves_no_retry(simulator, api, shop, customer):
    shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    simulator.advance(customer=customer.id, by_seconds=MONTH + 2 * HOUR)
    (failing,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data

    with pytest.raises(stripe.CardError, match="declined"):
        api.v1.invoices.pay(failing.id)

    after = api.v1.invoices.retrieve(failing.id)
    assert after.next_payment_attempt == failing.next_payment_attempt
    assert after.attempt_count == 1


def test_a_bank_that_asks_for_the_payer_stops_a_renewal(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "3ds")

    kinds = moved(simulator, customer, MONTH + 2 * HOUR)

    assert "payment_intent.requires_action" in kinds
    assert "invoice.payment_action_required" in kinds
    assert api.v1.subscriptions.retrieve(subscription.id).status == "past_due"


def test_the_hosted_invoice_page_settles_a_failed_renewal(simulator, api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    simulator.advance(customer=customer.id, by_seconds=MONTH + 2 * HOUR)
    (failing,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data

    refused = browser.post(failing.hosted_invoice_url, data={"card": "decline"})
    paid = browser.post(failing.hosted_invoice_url, data={"card": "success"})

    assert (refused.status_code, paid.status_code) == (402, 303)
    assert api.v1.invoices.retrieve(failing.id).status == "paid"
    assert api.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_trial_warns_three_days_before_and_then_charges(simulator, api, shop, customer):
    subscription = shop.subscribe(customer, trial_period_days=14)

    before = moved(simulator, customer, 10 * DAY)
    warned = moved(simulator, customer, 1 * DAY)
    ended = moved(simulator, customer, 3 * DAY + HOUR)

    assert before == []
    assert warned == ["customer.subscription.trial_will_end"]
    assert ended[:2] == ["invoice.created", "customer.subscription.updated"]
    assert "invoice.paid" in ended
    assert api.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_short_trial_warns_at_once(simulator, shop, customer):
    shop.subscribe(customer, trial_period_days=2)

    assert len(simulator.events("customer.subscription.trial_will_end")) == 1


@pytest.mark.parametrize(
    ("behaviour", "status", "last"),
    [
        ("pause", "paused", "customer.subscription.paused"),
        ("cancel", "canceled", "customer.subscription.deleted"),
    ],
)
def test_a_trial_without_a_card_ends_as_its_settings_say(
    simulator, shop, customer, behaviour, status, last
):
    api = shop.api
    subscription = api.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.price.id}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": behaviour}},
        }
    )

    kinds = moved(simulator, customer, 8 * DAY)

    assert kinds[-1] == last
    assert api.v1.subscriptions.retrieve(subscription.id).status == status


def test_a_paused_subscription_resumes_with_a_new_period(simulator, api, shop, customer):
    subscription = api.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.price.id}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        }
    )
    simulator.advance(customer=customer.id, by_seconds=20 * DAY)
    method = api.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    api.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})

    resumed = api.v1.subscriptions.resume(subscription.id)

    assert resumed.status == "active"
    assert resumed["items"].data[0].current_period_start == 1_800_000_000 + 20 * DAY
    assert len(simulator.events("customer.subscription.resumed")) == 1


def test_a_trial_can_be_ended_now(api, shop, customer):
    subscription = shop.subscribe(customer, trial_period_days=14)

    ended = api.v1.subscriptions.update(
        subscription.id, {"trial_end": "now", "expand": ["latest_invoice"]}
    )

    assert ended.status == "active"
    assert ended.latest_invoice.amount_paid == 1200


def test_cancel_at_period_end_keeps_the_period(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    kept = moved(simulator, customer, 20 * DAY)
    ended = moved(simulator, customer, 11 * DAY)

    assert kept == []
    assert ended == ["customer.subscription.deleted"]
    assert len(api.v1.invoices.list({"customer": customer.id}).data) == 1


def test_a_cancellation_can_be_taken_back(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    api.v1.subscriptions.update(
        subscription.id,
        {"cancel_at_period_end": True, "cancellation_details": {"feedback": "unused"}},
    )

    kept = api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    simulator.advance(customer=customer.id, by_seconds=MONTH + 2 * HOUR)

    assert (kept.cancel_at, kept.canceled_at, kept.cancellation_details.reason) == (None,) * 3
    assert api.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_cancel_at_ends_on_the_day(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    day = 1_800_000_000 + 10 * DAY
    api.v1.subscriptions.update(subscription.id, {"cancel_at": day})

    simulator.advance(customer=customer.id, by_seconds=11 * DAY)

    ended = api.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", day)


def test_canceling_now_stops_all_collection(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    simulator.advance(customer=customer.id, by_seconds=MONTH + 2 * HOUR)

    api.v1.subscriptions.cancel(subscription.id)
    kinds = moved(simulator, customer, 30 * DAY)

    assert kinds == []
    (failing,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data
    assert failing.next_payment_attempt is None


def test_months_clamp_to_their_end_and_come_back(simulator, api, shop):
    january_31 = 1_801_353_600
    customer = shop.customer(test_clock=shop.clock(january_31).id)
    subscription = shop.subscribe(customer)
    ends = []

    for _ in range(3):
        current = api.v1.subscriptions.retrieve(subscription.id)
        ends.append(current["items"].data[0].current_period_end)
        simulator.advance(customer=customer.id, to=ends[-1] + 2 * HOUR)

    assert [end - january_31 for end in ends] == [28 * DAY, 59 * DAY, 89 * DAY]


def test_an_incomplete_subscription_expires_after_23_hours(simulator, api, shop, customer):
    subscription = api.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.price.id}],
            "payment_behavior": "default_incomplete",
            "expand": ["latest_invoice.confirmation_secret"],
        }
    )

    simulator.advance(customer=customer.id, by_seconds=24 * HOUR)

    assert subscription.status == "incomplete"
    assert subscription.latest_invoice.confirmation_secret.client_secret.startswith("pi_")
    assert api.v1.subscriptions.retrieve(subscription.id).status == "incomplete_expired"


def test_an_invoice_that_is_sent_falls_due(simulator, api, shop, customer):
    subscription = api.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.price.id}],
            "collection_method": "send_invoice",
            "days_until_due": 30,
        }
    )
    simulator.advance(customer=customer.id, by_seconds=2 * HOUR)
    (sent,) = api.v1.invoices.list({"customer": customer.id}).data
    api.v1.invoices.update(sent.id, {"custom_fields": [{"name": "PO", "value": "4711"}]})

    simulator.advance(customer=customer.id, by_seconds=30 * DAY)
    late = api.v1.subscriptions.retrieve(subscription.id).status
    api.v1.invoices.pay(sent.id, {"paid_out_of_band": True})

    assert sent.due_date == sent.status_transitions.finalized_at + 30 * DAY
    assert len(simulator.events("invoice.overdue")) == 1
    assert late == "past_due"
    assert api.v1.invoices.retrieve(sent.id).custom_fields[0].value == "4711"


def test_a_disputed_charge_can_be_won(simulator, api, shop, customer):
    shop.subscribe(customer)
    since = len(simulator.events())

    opened = simulator.dispute(customer.id)
    simulator.close_dispute(opened["dispute"], "won")

    assert happened(simulator, since) == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
    assert api.v1.disputes.retrieve(opened["dispute"]).status == "won"


def test_a_refund_tells_in_stripes_order(simulator, api, shop, customer):
    shop.subscribe(customer)
    (charge,) = api.v1.charges.list({"customer": customer.id}).data
    since = len(simulator.events())

    refund = api.v1.refunds.create({"charge": charge.id, "amount": 200})

    assert happened(simulator, since) == [
        "refund.created",
        "charge.refunded",
        "refund.updated",
        "charge.refund.updated",
    ]
    assert refund.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        api.v1.refunds.create({"charge": charge.id, "amount": 1001})


def test_a_deleted_customer_takes_the_subscriptions_along(simulator, api, shop, customer):
    shop.subscribe(customer)
    since = len(simulator.events())

    api.v1.customers.delete(customer.id)

    assert happened(simulator, since) == ["customer.subscription.deleted", "customer.deleted"]


def test_a_clock_only_moves_forward(simulator, shop, customer):
    with pytest.raises(Refused, match="forward"):
        simulator.advance(customer=customer.id, to=1)


def test_a_customer_without_a_clock_lives_by_the_wall(simulator, api, shop):
    simulator.options(bank_debit_seconds_without_clock=1)
    customer = api.v1.customers.create({"email": "wall@example.com"})
    answer = simulator.complete_checkout(shop.session(customer).id, "bank_debit_succeeds")

    deadline = time.monotonic() + 10
    while not simulator.events("checkout.session.async_payment_succeeded"):
        assert time.monotonic() < deadline, "the bank never answered"
        time.sleep(0.05)

    assert api.v1.subscriptions.retrieve(answer["subscription"]).status == "active"


def test_moving_the_whole_simulator_renews_those_without_a_clock(simulator, api, shop):
    subscription = shop.subscribe(shop.customer(test_clock=None))

    simulator.advance(by_seconds=MONTH)
    simulator.advance(by_seconds=2 * HOUR)

    invoices = api.v1.invoices.list({"subscription": subscription.id}).data
    assert [invoice.status for invoice in invoices] == ["paid", "paid"]
