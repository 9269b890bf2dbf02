"""Every endpoint that was built answers the real SDK, and nothing breaks its types."""

import time

from tests.stripe_simulator.compare import against, differences, walk
from tests.stripe_simulator.resources import everything
from tests.stripe_simulator.routing import HANDLERS

HOUR, DAY = 3600, 86_400


def test_the_sdk_walks_through_every_endpoint(simulator, api, shop, receiver):
    simulator.clear_requests()

    sell(api, shop)
    keep_customers(api, shop)
    discount(api)
    check_out(simulator, api, shop)
    live(simulator, api, shop)
    bill(simulator, api, shop)
    pay(simulator, api, shop)
    meter(api, shop)
    look_around(api, receiver)

    assert everything.FAMILIES
    untouched = {f"{method} {path}" for method, path in HANDLERS} - set(simulator.requests())
    assert untouched == set()


def test_the_comparison_with_stripe_finds_nothing_between_two_simulators(api):
    start = int(time.time())

    first, second = list(walk(api, start)), list(walk(api, start))

    assert [name for name, _ in first] == [name for name, _ in second]
    assert len(first) == 11


def test_a_comparison_with_another_simulator_finds_no_difference(api):
    assert list(against(api)) == []


def test_the_comparison_tells_what_differs():
    ours, theirs = {"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}

    assert list(differences(ours, theirs)) == [
        "b: 2 here, 3 there",
        "c: missing here, 4 there",
    ]


def sell(api, shop):
    product = api.v1.products.create({"name": "Extra"})
    api.v1.products.retrieve(product.id)
    api.v1.products.update(product.id, {"description": "More of it", "metadata": {"a": "b"}})
    feature = api.v1.entitlements.features.create({"name": "SSO", "lookup_key": "sso"})
    api.v1.entitlements.features.list()
    attached = api.v1.products.features.create(product.id, {"entitlement_feature": feature.id})
    api.v1.products.features.list(product.id)
    api.v1.products.features.delete(product.id, attached.id)
    api.v1.products.list({"active": True})
    api.v1.products.delete(product.id)
    price = shop.sell(700)
    api.v1.prices.update(price.id, {"nickname": "seven", "active": False})
    api.v1.prices.retrieve(price.id, {"expand": ["product", "tiers"]})
    api.v1.prices.list({"product": shop.product.id, "expand": ["data.product"]})
    api.v1.plans.list()
    api.v1.plans.retrieve(price.id)


def keep_customers(api, shop):
    customer = shop.customer(
        address={"country": "VN", "city": "Hà Nội"},
        tax_id_data=[{"type": "eu_vat", "value": "DE1"}],
    )
    api.v1.customers.update(customer.id, {"name": "Hà", "metadata": {"organization": "7"}})
    api.v1.customers.retrieve(customer.id, {"expand": ["subscriptions", "tax", "tax_ids"]})
    api.v1.customers.list({"email": "owner@example.com"})
    tax_id = api.v1.customers.tax_ids.create(customer.id, {"type": "vn_tin", "value": "1"})
    api.v1.customers.tax_ids.list(customer.id)
    api.v1.customers.tax_ids.retrieve(customer.id, tax_id.id)
    api.v1.customers.tax_ids.delete(customer.id, tax_id.id)
    moved = api.v1.customers.balance_transactions.create(
        customer.id, {"amount": -100, "currency": "usd"}
    )
    api.v1.customers.balance_transactions.list(customer.id)
    api.v1.customers.balance_transactions.retrieve(customer.id, moved.id)
    card = api.v1.payment_methods.create(
        {
            "type": "card",
            "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2030, "cvc": "1"},
        }
    )
    api.v1.payment_methods.attach(card.id, {"customer": customer.id})
    api.v1.payment_methods.update(card.id, {"metadata": {"a": "b"}})
    api.v1.payment_methods.retrieve(card.id)
    api.v1.payment_methods.list({"customer": customer.id})
    api.v1.customers.payment_methods.list(customer.id)
    api.v1.customers.payment_methods.retrieve(customer.id, card.id)
    api.v1.payment_methods.detach(card.id)
    setup = api.v1.setup_intents.create({"customer": customer.id, "payment_method": card.id})
    api.v1.setup_intents.confirm(setup.id)
    api.v1.setup_intents.retrieve(setup.id)
    api.v1.setup_intents.list({"customer": customer.id})
    api.v1.setup_intents.cancel(api.v1.setup_intents.create().id)
    api.v1.customers.delete(customer.id)


def discount(api):
    coupon = api.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    api.v1.coupons.update(coupon.id, {"name": "Ten"})
    api.v1.coupons.retrieve(coupon.id, {"expand": ["applies_to"]})
    api.v1.coupons.list()
    code = api.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    api.v1.promotion_codes.update(code.id, {"active": False})
    api.v1.promotion_codes.retrieve(code.id)
    api.v1.promotion_codes.list({"active": True})
    api.v1.coupons.delete(coupon.id)


def check_out(simulator, api, shop):
    session = shop.session(shop.customer())
    api.v1.checkout.sessions.update(session.id, {"metadata": {"a": "b"}})
    api.v1.checkout.sessions.line_items.list(session.id)
    simulator.complete_checkout(session.id)
    api.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items", "customer"]})
    api.v1.checkout.sessions.list({"limit": 3})
    api.v1.checkout.sessions.expire(shop.session(shop.customer()).id)
    configuration = api.v1.billing_portal.configurations.create(
        {"features": {"invoice_history": {"enabled": True}}}
    )
    api.v1.billing_portal.configurations.update(configuration.id, {"active": False})
    api.v1.billing_portal.configurations.retrieve(configuration.id)
    api.v1.billing_portal.configurations.list()
    api.v1.billing_portal.sessions.create({"customer": shop.customer().id})


def live(simulator, api, shop):
    customer = shop.customer()
    coupon = api.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    subscription = shop.subscribe(customer, discounts=[{"coupon": coupon.id}])
    api.v1.subscriptions.list({"customer": customer.id, "expand": ["data.discounts"]})
    api.v1.subscriptions.retrieve(subscription.id)
    api.v1.subscriptions.delete_discount(subscription.id)
    other = shop.sell(300)
    item = api.v1.subscription_items.create(
        {"subscription": subscription.id, "price": other.id, "quantity": 2}
    )
    api.v1.subscription_items.update(item.id, {"quantity": 3})
    api.v1.subscription_items.retrieve(item.id)
    api.v1.subscription_items.list({"subscription": subscription.id})
    api.v1.subscription_items.delete(item.id)
    for ending in ("release", "cancel"):
        schedule = api.v1.subscription_schedules.create({"from_subscription": subscription.id})
        api.v1.subscription_schedules.update(schedule.id, {"end_behavior": "release"})
        api.v1.subscription_schedules.retrieve(schedule.id)
        api.v1.subscription_schedules.list({"customer": customer.id})
        getattr(api.v1.subscription_schedules, ending)(schedule.id)
    paused = api.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.price.id}],
            "trial_period_days": 1,
            "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        }
    )
    simulator.advance(customer=customer.id, by_seconds=2 * DAY)
    api.v1.subscriptions.resume(paused.id)
    api.v1.subscriptions.update(paused.id, {"cancel_at_period_end": True})
    api.v1.subscriptions.cancel(paused.id)
    clock = api.v1.test_helpers.test_clocks.retrieve(customer.test_clock)
    api.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": clock.frozen_time + HOUR})
    api.v1.test_helpers.test_clocks.list()
    api.v1.test_helpers.test_clocks.delete(clock.id)


def bill(simulator, api, shop):
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    api.v1.invoices.create_preview({"subscription": subscription.id})
    invoice = api.v1.invoices.retrieve(subscription.latest_invoice, {"expand": ["payments"]})
    api.v1.invoices.line_items.list(invoice.id)
    (payment,) = api.v1.invoice_payments.list({"invoice": invoice.id}).data
    api.v1.invoice_payments.retrieve(payment.id)
    item = api.v1.invoice_items.create(
        {"customer": customer.id, "amount": 500, "currency": "usd", "description": "Set-up"}
    )
    api.v1.invoice_items.retrieve(item.id)
    api.v1.invoice_items.list({"customer": customer.id})
    drafts = [
        api.v1.invoices.create(
            {
                "customer": customer.id,
                "collection_method": "send_invoice",
                "days_until_due": 30,
                "pending_invoice_items_behavior": "include",
            }
        )
        for _ in range(3)
    ]
    sent, written_off, deleted = drafts
    api.v1.invoices.update(sent.id, {"custom_fields": [{"name": "PO", "value": "1"}]})
    api.v1.invoices.finalize_invoice(sent.id)
    api.v1.invoices.send_invoice(sent.id)
    api.v1.credit_notes.preview({"invoice": sent.id, "amount": 100})
    note = api.v1.credit_notes.create({"invoice": sent.id, "amount": 100})
    api.v1.credit_notes.update(note.id, {"memo": "Sorry"})
    api.v1.credit_notes.retrieve(note.id)
    api.v1.credit_notes.list({"invoice": sent.id})
    api.v1.credit_notes.line_items.list(note.id)
    api.v1.credit_notes.void_credit_note(note.id)
    api.v1.invoices.pay(sent.id, {"payment_method": subscription.default_payment_method})
    waiting = api.v1.invoice_items.create({"customer": customer.id, "amount": 1, "currency": "usd"})
    api.v1.invoice_items.delete(waiting.id)
    api.v1.invoice_items.create(
        {"customer": customer.id, "amount": 900, "currency": "usd", "invoice": written_off.id}
    )
    api.v1.invoices.finalize_invoice(written_off.id)
    api.v1.invoices.mark_uncollectible(written_off.id)
    api.v1.invoices.void_invoice(written_off.id)
    api.v1.invoices.delete(deleted.id)
    api.v1.invoices.list({"customer": customer.id})
    api.v1.tax_rates.list()
    taxed = shop.customer(address={"country": "DE"})
    first = shop.subscribe(taxed, automatic_tax={"enabled": True}, expand=["latest_invoice"])
    rate = first.latest_invoice.total_taxes[0].tax_rate_details.tax_rate
    api.v1.tax_rates.retrieve(rate)


def pay(simulator, api, shop):
    customer = shop.customer()
    intent = api.v1.payment_intents.create(
        {"amount": 700, "currency": "usd", "customer": customer.id}
    )
    api.v1.payment_intents.update(intent.id, {"description": "Once"})
    paid = api.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    api.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge.refunds"]})
    api.v1.payment_intents.list({"customer": customer.id})
    canceled = api.v1.payment_intents.create({"amount": 1, "currency": "usd"})
    api.v1.payment_intents.cancel(canceled.id)
    charge = api.v1.charges.update(paid.latest_charge, {"description": "Once"})
    api.v1.charges.retrieve(charge.id, {"expand": ["balance_transaction"]})
    api.v1.charges.list({"customer": customer.id})
    refund = api.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    api.v1.refunds.retrieve(refund.id)
    api.v1.refunds.list({"charge": charge.id})
    api.v1.balance_transactions.retrieve(charge.balance_transaction)
    api.v1.balance_transactions.list()
    dispute = simulator.dispute(customer.id)["dispute"]
    api.v1.disputes.update(dispute, {"evidence": {"uncategorized_text": "They used it."}})
    api.v1.disputes.retrieve(dispute)
    api.v1.disputes.list()
    api.v1.disputes.close(dispute)


def meter(api, shop):
    customer = shop.customer()
    made = api.v1.billing.meters.create(
        {
            "display_name": "Tokens",
            "event_name": "tokens",
            "default_aggregation": {"formula": "sum"},
        }
    )
    api.v1.billing.meter_events.create(
        {
            "event_name": "tokens",
            "identifier": "one",
            "payload": {"stripe_customer_id": customer.id, "value": "3"},
        }
    )
    api.v1.billing.meter_event_adjustments.create(
        {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": "one"}}
    )
    api.v1.billing.meters.event_summaries.list(
        made.id, {"customer": customer.id, "start_time": 0, "end_time": 60}
    )
    api.v1.billing.meters.update(made.id, {"display_name": "All tokens"})
    api.v1.billing.meters.deactivate(made.id)
    api.v1.billing.meters.reactivate(made.id)
    api.v1.billing.meters.retrieve(made.id)
    api.v1.billing.meters.list()


def look_around(api, receiver):
    account = api.v1.accounts.retrieve_current()
    api.v1.accounts.retrieve(account.id)
    api.v1.tax.settings.retrieve()
    (event,) = api.v1.events.list({"limit": 1}).data
    api.v1.events.retrieve(event.id)
    listener = api.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["customer.created"]}
    )
    api.v1.webhook_endpoints.update(listener.id, {"description": "Extra"})
    api.v1.webhook_endpoints.retrieve(listener.id)
    api.v1.webhook_endpoints.list()
    api.v1.webhook_endpoints.delete(listener.id)
