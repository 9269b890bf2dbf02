import io

import pypdf
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]


def test_the_invoice_document_can_be_read_in_vietnamese(simulator, api, shop, browser):
    customer = shop.customer(name="Công ty Hạ Long")
    simulator.complete_checkout(shop.session(customer, currency="vnd").id, name="Công ty Hạ Long")
    (invoice,) = api.v1.invoices.list({"customer": customer.id}).data

    answer = browser.get(invoice.invoice_pdf)

    text = pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    assert answer.headers["content-type"] == "application/pdf"
    assert "Công ty Hạ Long" in text
    assert "299.000 ₫" in text
    assert invoice.number in text


@pytest.fixture
def customer(shop):
    return shop.customer(name="Hà")


def portal(api, customer, **more):
    session = api.v1.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "http://shop.test/billing", **more}
    )
    return session.url


def configured(api, shop, **update):
    """A portal that lets people choose between Pro and a bigger plan."""
    bigger = shop.sell(3000)
    configuration = api.v1.billing_portal.configurations.create(
        {
            "features": {
                "subscription_update": {
                    "enabled": True,
                    "default_allowed_updates": ["price", "quantity"],
                    "products": [
                        {"product": shop.product.id, "prices": [shop.price.id, bigger.id]}
                    ],
                    "proration_behavior": "always_invoice",
                    **update,
                }
            }
        }
    )
    return configuration.id, bigger


def test_a_card_is_added_chosen_and_removed_in_the_portal(api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    url = portal(api, customer)

    refused = browser.post(url, data={"act": "add", "card": "decline"})
    browser.post(url, data={"act": "add", "card": "success"})
    added = api.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method
    browser.post(url, data={"act": "remove", "method": subscription.default_payment_method})

    (kept,) = api.v1.customers.payment_methods.list(customer.id).data
    assert "Your card was declined." in refused.text
    assert kept.id == added
    assert api.v1.subscriptions.retrieve(subscription.id).default_payment_method == added


def test_the_portal_cancels_with_a_reason_and_takes_it_back(api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    url = portal(api, customer)
    about = {"subscription": subscription.id}

    browser.post(url, data={"act": "cancel", "reason": "unused", **about})
    ending = api.v1.subscriptions.retrieve(subscription.id)
    browser.post(url, data={"act": "renew", **about})

    assert ending.cancel_at_period_end
    assert ending.cancellation_details.feedback == "unused"
    assert api.v1.subscriptions.retrieve(subscription.id).cancel_at is None


def test_the_portal_shows_the_price_of_a_change_before_it_is_made(api, shop, customer, browser):
    configuration, bigger = configured(api, shop)
    subscription = shop.subscribe(customer)
    url = portal(api, customer, configuration=configuration)
    wish = {"subscription": subscription.id, "price": bigger.id, "quantity": "2"}

    asked = browser.post(url, data={"act": "choose", **wish}, follow_redirects=True)
    browser.post(url, data={"act": "confirm", **wish})

    changed = api.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert "$48.00" in asked.text
    assert changed.latest_invoice.total == 4800
    assert changed["items"].data[0].price.id == bigger.id


def test_a_downgrade_in_the_portal_can_wait_for_the_period_end(simulator, shop, customer, browser):
    api = shop.api
    configuration, bigger = configured(
        api, shop, schedule_at_period_end={"conditions": [{"type": "decreasing_item_amount"}]}
    )
    subscription = shop.subscribe(customer, items=[{"price": bigger.id}])
    url = portal(api, customer, configuration=configuration)
    wish = {"subscription": subscription.id, "price": shop.price.id, "quantity": "1"}

    browser.post(url, data={"act": "confirm", **wish})
    waiting = api.v1.subscriptions.retrieve(subscription.id)
    simulator.advance(customer=customer.id, by_seconds=32 * 86_400)

    assert waiting["items"].data[0].price.id == bigger.id
    assert waiting.schedule
    changed = api.v1.subscriptions.retrieve(subscription.id)
    assert changed["items"].data[0].price.id == shop.price.id


def test_a_deep_link_does_one_thing_and_returns(api, shop, customer, browser):
    shop.subscribe(customer)
    after = {"type": "redirect", "redirect": {"return_url": "http://shop.test/thanks"}}
    url = portal(
        api, customer, flow_data={"type": "payment_method_update", "after_completion": after}
    )

    page = browser.get(url)
    answer = browser.post(url, data={"act": "add", "card": "success"})

    assert "Add a payment method" in page.text
    assert "Cancel plan" not in page.text
    assert answer.headers["location"] == "http://shop.test/thanks"


def test_a_deep_link_confirms_a_named_change(api, shop, customer, browser):
    configuration, bigger = configured(api, shop)
    subscription = shop.subscribe(customer)
    item = subscription["items"].data[0].id
    url = portal(
        api,
        customer,
        configuration=configuration,
        flow_data={
            "type": "subscription_update_confirm",
            "subscription_update_confirm": {
                "subscription": subscription.id,
                "items": [{"id": item, "price": bigger.id, "quantity": 1}],
            },
        },
    )

    page = browser.get(url)
    browser.post(url, data={"act": "confirm"})

    assert "Confirm your change" in page.text
    changed = api.v1.subscriptions.retrieve(subscription.id)
    assert changed["items"].data[0].price.id == bigger.id


def test_what_the_seller_switched_off_cannot_be_done(api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    configuration = api.v1.billing_portal.configurations.create(
        {"features": {"invoice_history": {"enabled": True}}}
    )
    url = portal(api, customer, configuration=configuration.id)

    answer = browser.post(url, data={"act": "cancel", "subscription": subscription.id})

    assert "switched this off" in answer.text
    assert not api.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end


def test_nobody_acts_on_another_customers_subscription(api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    stranger = portal(api, shop.customer())

    browser.post(stranger, data={"act": "cancel", "subscription": subscription.id})

    assert not api.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end


def test_the_control_page_moves_a_clock_and_spoils_a_card(simulator, api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    page = f"{simulator.base_url}/_sim/"
    about = {"customer": customer.id}

    shown = browser.get(page)
    browser.post(page, data={"act": "card", "behaviour": "decline", **about})
    browser.post(page, data={"act": "renewal", **about})
    failing = api.v1.subscriptions.retrieve(subscription.id).status
    browser.post(page, data={"act": "grace_end", "days": "3", **about})

    assert "Hà" in shown.text
    assert failing == "past_due"
    clock = api.v1.test_helpers.test_clocks.retrieve(customer.test_clock)
    (invoice,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data
    assert clock.frozen_time == invoice.status_transitions.finalized_at + 3 * 86_400


def test_the_control_page_holds_and_lets_go(simulator, api, receiver, browser):
    page = f"{simulator.base_url}/_sim/"
    browser.post(page, data={"act": "mode", "mode": "hold"})
    api.v1.customers.create({"name": "a"})
    held = browser.get(page)

    browser.post(page, data={"act": "let_go", "double": "1"})
    simulator.wait_until_idle()

    assert "1 waiting" in held.text
    assert receiver.types() == ["customer.created", "customer.created"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_barrier(simulator, shop, customer, chrome, scheme):
    api = shop.api
    configuration, _ = configured(api, shop)
    shop.subscribe(customer)
    (invoice,) = api.v1.invoices.list({"customer": customer.id}).data
    session = shop.session(
        customer, billing_address_collection="required", allow_promotion_codes=True
    )
    addresses = [
        session.url,
        f"{session.url}/challenge",
        invoice.hosted_invoice_url,
        portal(api, customer, configuration=configuration),
        f"{simulator.base_url}/_sim/",
    ]

    found = {}
    with chrome.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        for address in addresses:
            page.goto(address)
            found[address] = Axe().run(page).violations_count

    assert found == dict.fromkeys(addresses, 0)


def test_a_portal_that_cancels_by_date_sets_no_flag(simulator, shop, customer, browser):
    simulator.options(portal_cancels_by_date=True)
    subscription = shop.subscribe(customer)
    url = portal(shop.api, customer)

    browser.post(url, data={"act": "cancel", "subscription": subscription.id})

    ending = shop.api.v1.subscriptions.retrieve(subscription.id)
    assert not ending.cancel_at_period_end
    assert ending.cancel_at == ending["items"].data[0].current_period_end
    simulator.advance(customer=customer.id, by_seconds=32 * 86_400)
    assert shop.api.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_a_credit_note_can_be_read(api, shop, customer, browser):
    subscription = shop.subscribe(customer)
    note = api.v1.credit_notes.create({"invoice": subscription.latest_invoice, "amount": 500})

    answer = browser.get(note.pdf)

    text = pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    assert "Credit note" in text
    assert "-$5.00" in text


def test_the_bank_asks_before_a_3ds_card_pays_an_invoice(simulator, shop, customer, browser):
    api = shop.api
    shop.subscribe(customer)
    simulator.set_card(customer.id, "decline")
    simulator.advance(customer=customer.id, by_seconds=32 * 86_400)
    (failing,) = api.v1.invoices.list({"customer": customer.id, "status": "open"}).data

    asked = browser.post(failing.hosted_invoice_url, data={"card": "3ds"})
    refused = browser.post(asked.headers["location"], data={"challenge": "fail"})
    still_open = api.v1.invoices.retrieve(failing.id).status
    browser.post(asked.headers["location"], data={"challenge": "complete"})

    assert refused.status_code == 402
    assert still_open == "open"
    assert api.v1.invoices.retrieve(failing.id).status == "paid"


def test_the_hosted_pages_speak_the_customers_language(simulator, api, shop, browser):
    """Checkout by its own locale; portal and invoice by the customer's; and nobody else's."""
    reader = shop.customer(name="Hà", preferred_locales=["vi"])
    bought = shop.session(reader, locale="vi", currency="vnd", allow_promotion_codes=True)

    checkout = browser.get(bought.url)
    simulator.complete_checkout(bought.id)
    (invoice,) = api.v1.invoices.list({"customer": reader.id}).data
    hosted = browser.get(invoice.hosted_invoice_url)
    kept = browser.get(portal(api, reader))
    paper = pypdf.PdfReader(io.BytesIO(browser.get(invoice.invoice_pdf).content))
    english = browser.get(portal(api, shop.customer()))

    assert '<html lang="vi">' in checkout.text
    for words, page in {
        "Đăng ký gói Pro": checkout.text,
        "Tóm tắt đơn hàng": checkout.text,
        "299.000 ₫": hosted.text,
        "Còn phải trả": hosted.text,
        "Gói hiện tại": kept.text,
        "299.000 ₫ mỗi tháng": kept.text,
        "Visa kết thúc bằng 4242": kept.text,
        "Vì sao bạn hủy?": kept.text,
        "Tạm tính": paper.pages[0].extract_text(),
    }.items():
        assert words in page, words
    assert '<html lang="en">' in english.text
    assert "Current plan" in english.text
    for english_only in ("Order summary", "Due today", "Payment method<", "Current plan"):
        assert english_only not in checkout.text + kept.text


def test_a_refusal_in_the_portal_is_said_in_the_readers_language(api, shop, browser):
    url = portal(api, shop.customer(preferred_locales=["vi"]), locale="vi")

    refused = browser.post(url, data={"act": "add", "card": "decline"})

    assert "Thẻ của bạn bị từ chối." in refused.text
