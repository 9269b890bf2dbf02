"""Changes in the middle of a period, discounts, tax, credit and usage, to the minor unit."""

import pytest
import stripe

HOUR, DAY = 3600, 86_400
START = 1_800_000_000
# A period of 31 days (15 January to 15 February 2027) that is half over.
HALF = 31 * DAY // 2


@pytest.fixture
def customer(shop):
    return shop.customer()


@pytest.fixture
def bigger(shop):
    return shop.sell(3000, currency_options={"vnd": {"unit_amount": 799_000}})


def item_of(subscription):
    return subscription["items"].data[0].id


def test_an_upgrade_invoiced_now_charges_the_difference_for_the_rest(
    simulator, api, shop, customer, bigger
):
    subscription = shop.subscribe(customer)
    simulator.advance(customer=customer.id, by_seconds=HALF)
    since = len(simulator.events())

    changed = api.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "price": bigger.id}],
            "proration_behavior": "always_invoice",
            "expand": ["latest_invoice"],
        },
    )

    assert [line.amount for line in changed.latest_invoice.lines.data] == [-600, 1500]
    assert changed.latest_invoice.amount_paid == 900
    assert changed.latest_invoice.billing_reason == "subscription_update"
    assert [event["type"] for event in simulator.events()[since:]][:3] == [
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
    ]


def test_a_preview_equals_what_is_then_charged(simulator, api, shop, customer, bigger):
    subscription = shop.subscribe(customer, items=[{"price": shop.price.id, "quantity": 3}])
    simulator.advance(customer=customer.id, by_seconds=10 * DAY + 12_345)
    wanted = {
        "items": [{"id": item_of(subscription), "price": bigger.id, "quantity": 7}],
        "proration_behavior": "always_invoice",
    }

    preview = api.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": wanted}
    )
    api.v1.subscriptions.update(subscription.id, wanted)

    (charged,) = api.v1.invoices.list({"subscription": subscription.id, "limit": 1}).data
    assert preview.id.startswith("upcoming_")
    assert preview.total == charged.total
    assert [line.amount for line in preview.lines.data] == [
        line.amount for line in charged.lines.data
    ]


def test_prorations_wait_for_the_renewal_when_not_invoiced_now(
    simulator, api, shop, customer, bigger
):
    subscription = shop.subscribe(customer)
    simulator.advance(customer=customer.id, by_seconds=HALF)

    api.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item_of(subscription), "price": bigger.id}]}
    )
    waiting = api.v1.invoice_items.list({"customer": customer.id, "pending": True}).data
    simulator.advance(customer=customer.id, by_seconds=HALF + 2 * HOUR)

    (renewal, _) = api.v1.invoices.list({"customer": customer.id}).data
    assert sorted(item.amount for item in waiting) == [-600, 1500]
    assert renewal.total == 3000 + 900
    assert api.v1.invoice_items.list({"customer": customer.id, "pending": True}).data == []


def test_a_change_without_proration_costs_nothing_now(api, shop, customer, bigger):
    subscription = shop.subscribe(customer)

    api.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "price": bigger.id}],
            "proration_behavior": "none",
        },
    )

    assert api.v1.invoice_items.list({"customer": customer.id}).data == []
    assert len(api.v1.invoices.list({"customer": customer.id}).data) == 1


def test_a_downgrade_credits_the_balance_which_pays_the_renewal(
    simulator, api, shop, customer, bigger
):
    subscription = shop.subscribe(customer, items=[{"price": bigger.id}])
    simulator.advance(customer=customer.id, by_seconds=HALF)

    api.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "price": shop.price.id}],
            "proration_behavior": "always_invoice",
        },
    )
    credited = api.v1.customers.retrieve(customer.id).balance
    simulator.advance(customer=customer.id, by_seconds=HALF + 2 * HOUR)

    (renewal, *_) = api.v1.invoices.list({"customer": customer.id}).data
    assert credited == -900
    assert (renewal.total, renewal.starting_balance, renewal.amount_paid) == (1200, -900, 300)
    assert api.v1.customers.retrieve(customer.id).balance == 0


def test_another_interval_begins_a_new_period_today(simulator, api, shop, customer):
    yearly = shop.sell(12_000, "year")
    subscription = shop.subscribe(customer)
    simulator.advance(customer=customer.id, by_seconds=HALF)

    changed = api.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "price": yearly.id}],
            "expand": ["latest_invoice"],
        },
    )

    assert [line.amount for line in changed.latest_invoice.lines.data] == [-600, 12_000]
    assert changed["items"].data[0].current_period_start == START + HALF
    assert changed.billing_cycle_anchor == START + HALF


@pytest.mark.parametrize(
    ("currency", "change", "expected"),
    [("usd", (2, 5), 1800), ("vnd", (2, 5), 448_500), ("usd", (5, 2), -1800)],
)
def test_seats_are_prorated_in_whole_minor_units(
    simulator, shop, customer, currency, change, expected
):
    api, (seats, more) = shop.api, change
    subscription = shop.subscribe(
        customer, currency=currency, items=[{"price": shop.price.id, "quantity": seats}]
    )
    simulator.advance(customer=customer.id, by_seconds=HALF)

    api.v1.subscription_items.update(
        item_of(subscription), {"quantity": more, "proration_behavior": "always_invoice"}
    )

    (latest, _) = api.v1.invoices.list({"customer": customer.id}).data
    assert latest.total == expected


@pytest.mark.parametrize(
    ("coupon", "totals"),
    [
        ({"percent_off": 20, "duration": "once"}, [960, 1200, 1200]),
        ({"percent_off": 20, "duration": "forever"}, [960, 960, 960]),
        (
            {"percent_off": 20, "duration": "repeating", "duration_in_months": 2},
            [960, 960, 1200],
        ),
        ({"amount_off": 500, "currency": "usd", "duration": "once"}, [700, 1200, 1200]),
        ({"amount_off": 5000, "currency": "usd", "duration": "once"}, [0, 1200, 1200]),
    ],
)
def test_a_coupon_lasts_as_long_as_it_says(simulator, api, shop, customer, coupon, totals):
    made = api.v1.coupons.create(coupon)
    shop.subscribe(customer, discounts=[{"coupon": made.id}])

    simulator.advance(customer=customer.id, by_seconds=62 * DAY)

    invoices = api.v1.invoices.list({"customer": customer.id}).data
    assert [invoice.total for invoice in reversed(invoices)] == totals


def test_a_promotion_code_can_run_out(api, shop, customer):
    coupon = api.v1.coupons.create({"percent_off": 50, "duration": "once"})
    code = api.v1.promotion_codes.create(
        {"code": "ONCE", "promotion": {"type": "coupon", "coupon": coupon.id}, "max_redemptions": 1}
    )
    shop.subscribe(customer, discounts=[{"promotion_code": code.id}])

    with pytest.raises(stripe.InvalidRequestError, match="limit"):
        shop.subscribe(shop.customer(), discounts=[{"promotion_code": code.id}])


@pytest.mark.parametrize(
    ("country", "currency", "total", "tax"),
    [
        ("US", "usd", 1200, 0),
        ("DE", "usd", 1428, 228),
        ("VN", "usd", 1320, 120),
        ("VN", "vnd", 328_900, 29_900),
    ],
)
def test_tax_follows_the_country(api, shop, country, currency, total, tax):
    customer = shop.customer(address={"country": country})

    subscription = shop.subscribe(
        customer,
        currency=currency,
        automatic_tax={"enabled": True},
        expand=["latest_invoice"],
    )

    invoice = subscription.latest_invoice
    assert invoice.total == total
    assert sum(entry.amount for entry in invoice.total_taxes) == tax


def test_tax_within_a_price_leaves_the_total(api, shop):
    customer = shop.customer(address={"country": "DE"})
    inclusive = shop.sell(1190, tax_behavior="inclusive")

    subscription = shop.subscribe(
        customer,
        items=[{"price": inclusive.id}],
        automatic_tax={"enabled": True},
        expand=["latest_invoice"],
    )

    invoice = subscription.latest_invoice
    assert (invoice.total, invoice.total_excluding_tax) == (1190, 1000)
    assert invoice.total_taxes[0].amount == 190


def test_those_exempt_pay_no_tax(api, shop):
    customer = shop.customer(address={"country": "DE"}, tax_exempt="reverse")

    subscription = shop.subscribe(
        customer, automatic_tax={"enabled": True}, expand=["latest_invoice"]
    )

    assert subscription.latest_invoice.total == 1200


@pytest.mark.parametrize(
    ("mode", "quantity", "expected"),
    [("graduated", 5, 500), ("graduated", 15, 1250), ("volume", 5, 500), ("volume", 15, 750)],
)
def test_tiers_are_counted_as_stripe_does(api, shop, customer, mode, quantity, expected):
    price = api.v1.prices.create(
        {
            "product": shop.product.id,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "billing_scheme": "tiered",
            "tiers_mode": mode,
            "tiers": [
                {"up_to": 10, "unit_amount": 100},
                {"up_to": "inf", "unit_amount": 50},
            ],
        }
    )

    subscription = shop.subscribe(
        customer,
        items=[{"price": price.id, "quantity": quantity}],
        expand=["latest_invoice"],
    )

    assert subscription.latest_invoice.total == expected


@pytest.fixture
def meter(api):
    return api.v1.billing.meters.create(
        {
            "display_name": "AI queries",
            "event_name": "ai_query",
            "default_aggregation": {"formula": "sum"},
        }
    )


@pytest.fixture
def metered(shop, meter):
    """40 cents for a thousand queries."""
    return shop.api.v1.prices.create(
        {
            "product": shop.product.id,
            "currency": "usd",
            "unit_amount_decimal": "0.04",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )


def use(api, customer, value, **more):
    return api.v1.billing.meter_events.create(
        {
            "event_name": "ai_query",
            "payload": {"stripe_customer_id": customer.id, "value": str(value)},
            **more,
        }
    )


def test_metered_usage_is_billed_after_its_period(simulator, api, shop, customer, metered):
    shop.subscribe(customer, items=[{"price": shop.price.id}, {"price": metered.id}])
    use(api, customer, 2810, identifier="a")
    simulator.advance(customer=customer.id, by_seconds=10 * DAY)
    use(api, customer, 190, identifier="b")

    simulator.advance(customer=customer.id, by_seconds=21 * DAY + 2 * HOUR)

    (renewal, _) = api.v1.invoices.list({"customer": customer.id}).data
    assert sorted(line.amount for line in renewal.lines.data) == [120, 1200]


def test_usage_of_a_canceled_subscription_is_billed_at_its_end(
    simulator, api, shop, customer, metered
):
    subscription = shop.subscribe(customer, items=[{"price": shop.price.id}, {"price": metered.id}])
    use(api, customer, 5000)
    api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    simulator.advance(customer=customer.id, by_seconds=32 * DAY)

    (final, _) = api.v1.invoices.list({"customer": customer.id}).data
    assert (final.total, final.status) == (200, "paid")


def test_an_identifier_counts_once_a_day(simulator, api, shop, customer, meter):
    use(api, customer, 5, identifier="org:ai:1")

    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        use(api, customer, 5, identifier="org:ai:1")
    simulator.advance(customer=customer.id, by_seconds=25 * HOUR)
    use(api, customer, 5, identifier="org:ai:1")

    assert used(api, meter, customer) == 10


@pytest.mark.parametrize("offset", [-36 * DAY, 6 * 60])
def test_usage_too_old_or_of_the_future_is_refused(api, customer, meter, offset):
    with pytest.raises(stripe.InvalidRequestError, match="timestamp"):
        use(api, customer, 1, timestamp=START + offset)


def test_usage_can_be_taken_back(api, customer, meter):
    use(api, customer, 5, identifier="mistake")
    use(api, customer, 7, identifier="right")

    api.v1.billing.meter_event_adjustments.create(
        {"event_name": "ai_query", "type": "cancel", "cancel": {"identifier": "mistake"}}
    )

    assert used(api, meter, customer) == 7


def used(api, meter, customer):
    """What Stripe's summary says, from a day before to two days after the start."""
    day = START - START % DAY
    page = api.v1.billing.meters.event_summaries.list(
        meter.id,
        {"customer": customer.id, "start_time": day - DAY, "end_time": day + 3 * DAY},
    )
    return sum(summary.aggregated_value for summary in page.data)


def test_summaries_come_by_day(simulator, api, customer, meter):
    use(api, customer, 3)
    simulator.advance(customer=customer.id, by_seconds=DAY)
    use(api, customer, 4)
    day = START - START % DAY

    page = api.v1.billing.meters.event_summaries.list(
        meter.id,
        {
            "customer": customer.id,
            "start_time": day,
            "end_time": day + 2 * DAY,
            "value_grouping_window": "day",
        },
    )

    assert sorted(summary.aggregated_value for summary in page.data) == [3, 4]


def test_a_schedule_downgrades_at_the_renewal(simulator, api, shop, customer, bigger):
    subscription = shop.subscribe(customer, items=[{"price": bigger.id}])
    schedule = api.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now, then = schedule.phases[0], schedule.phases[0].end_date
    api.v1.subscription_schedules.update(
        schedule.id,
        {
            "end_behavior": "release",
            "phases": [
                {
                    "items": [{"price": bigger.id, "quantity": 1}],
                    "start_date": now.start_date,
                    "end_date": then,
                },
                {"items": [{"price": shop.price.id, "quantity": 2}]},
            ],
        },
    )

    simulator.advance(customer=customer.id, to=then + 2 * HOUR)

    changed = api.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert changed["items"].data[0].price.id == shop.price.id
    assert changed.latest_invoice.total == 2400
    assert changed.schedule == schedule.id
    simulator.advance(customer=customer.id, by_seconds=31 * DAY)
    assert api.v1.subscriptions.retrieve(subscription.id).schedule is None
    assert api.v1.subscription_schedules.retrieve(schedule.id).status == "released"


def test_a_released_schedule_changes_nothing(simulator, api, shop, customer, bigger):
    subscription = shop.subscribe(customer, items=[{"price": bigger.id}])
    schedule = api.v1.subscription_schedules.create({"from_subscription": subscription.id})
    end = schedule.phases[0].end_date
    api.v1.subscription_schedules.update(
        schedule.id,
        {
            "phases": [
                {
                    "items": [{"price": bigger.id}],
                    "start_date": schedule.phases[0].start_date,
                    "end_date": end,
                },
                {"items": [{"price": shop.price.id}]},
            ]
        },
    )

    api.v1.subscription_schedules.release(schedule.id)
    simulator.advance(customer=customer.id, to=end + 2 * HOUR)

    kept = api.v1.subscriptions.retrieve(subscription.id)
    assert kept["items"].data[0].price.id == bigger.id


def test_a_credit_note_lowers_an_open_invoice(simulator, api, shop, customer):
    shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    simulator.advance(customer=customer.id, by_seconds=31 * DAY + 2 * HOUR)
    (failing,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data

    note = api.v1.credit_notes.create({"invoice": failing.id, "amount": 1200})

    assert note.type == "pre_payment"
    assert api.v1.invoices.retrieve(failing.id).status == "paid"


def test_a_credit_note_of_a_paid_invoice_gives_money_back(api, shop, customer):
    subscription = shop.subscribe(customer)

    note = api.v1.credit_notes.create(
        {
            "invoice": subscription.latest_invoice,
            "amount": 500,
            "refund_amount": 300,
            "credit_amount": 200,
        }
    )

    (charge,) = api.v1.charges.list({"customer": customer.id}).data
    assert note.post_payment_amount == 500
    assert charge.amount_refunded == 300
    assert api.v1.customers.retrieve(customer.id).balance == -200


def test_void_and_written_off_invoices_are_not_collected(simulator, api, shop, customer):
    shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    simulator.advance(customer=customer.id, by_seconds=31 * DAY + 2 * HOUR)
    (failing,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data

    api.v1.invoices.mark_uncollectible(failing.id)
    voided = api.v1.invoices.void_invoice(failing.id)

    assert voided.status == "void"
    assert len(simulator.events("invoice.marked_uncollectible")) == 1
    assert len(simulator.events("invoice.voided")) == 1


@pytest.mark.parametrize(("duration", "lines"), [("forever", [-480, 1200]), ("once", [-480, 1500])])
def test_a_proration_credits_what_was_paid_and_charges_what_is_due(
    simulator, shop, customer, bigger, duration, lines
):
    api = shop.api
    coupon = api.v1.coupons.create({"percent_off": 20, "duration": duration})
    subscription = shop.subscribe(customer, discounts=[{"coupon": coupon.id}])
    simulator.advance(customer=customer.id, by_seconds=HALF)

    api.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item_of(subscription), "price": bigger.id}],
            "proration_behavior": "always_invoice",
        },
    )

    (latest, _) = api.v1.invoices.list({"customer": customer.id}).data
    assert [line.amount for line in latest.lines.data] == lines


def test_there_and_back_in_one_moment_costs_nothing(simulator, api, shop, customer, bigger):
    subscription = shop.subscribe(customer)
    simulator.advance(customer=customer.id, by_seconds=7 * DAY + 4321)

    for price in (bigger, shop.price):
        api.v1.subscriptions.update(
            subscription.id, {"items": [{"id": item_of(subscription), "price": price.id}]}
        )

    waiting = api.v1.invoice_items.list({"customer": customer.id, "pending": True}).data
    assert len(waiting) == 4
    assert sum(item.amount for item in waiting) == 0


def test_the_billing_day_can_be_moved_to_today(simulator, api, shop, customer):
    subscription = shop.subscribe(customer)
    simulator.advance(customer=customer.id, by_seconds=HALF)

    changed = api.v1.subscriptions.update(
        subscription.id, {"billing_cycle_anchor": "now", "expand": ["latest_invoice"]}
    )

    assert [line.amount for line in changed.latest_invoice.lines.data] == [-600, 1200]
    assert changed["items"].data[0].current_period_start == START + HALF


def test_an_upgrade_that_must_be_paid_changes_nothing_when_it_is_not(
    simulator, api, shop, customer, bigger
):
    subscription = shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    since = len(simulator.events())

    with pytest.raises(stripe.CardError, match="declined"):
        api.v1.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": item_of(subscription), "price": bigger.id}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )

    kept = api.v1.subscriptions.retrieve(subscription.id)
    assert kept["items"].data[0].price.id == shop.price.id
    assert len(api.v1.invoices.list({"customer": customer.id}).data) == 1
    assert len(simulator.events()) == since


def test_a_schedule_keeps_others_from_ending_its_subscription(api, shop, customer):
    subscription = shop.subscribe(customer)
    schedule = api.v1.subscription_schedules.create({"from_subscription": subscription.id})

    with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule"):
        api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    api.v1.subscriptions.cancel(subscription.id)
    assert api.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"


@pytest.mark.parametrize(("carried", "total"), [(True, 1080), (False, 1200)])
def test_a_phase_brings_its_own_discounts(simulator, shop, customer, carried, total):
    api = shop.api
    coupon = api.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    subscription = shop.subscribe(customer, discounts=[{"coupon": coupon.id}])
    schedule = api.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now = schedule.phases[0]
    then = {"items": [{"price": shop.price.id}]}
    if carried:
        then["discounts"] = [{"discount": subscription.discounts[0]}]
    api.v1.subscription_schedules.update(
        schedule.id,
        {
            "phases": [
                {
                    "items": [{"price": shop.price.id}],
                    "start_date": now.start_date,
                    "end_date": now.end_date,
                    "discounts": [{"discount": subscription.discounts[0]}],
                },
                then,
            ]
        },
    )

    simulator.advance(customer=customer.id, to=now.end_date + 2 * HOUR)

    (renewal, _) = api.v1.invoices.list({"customer": customer.id}).data
    assert renewal.total == total
