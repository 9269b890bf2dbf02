"""Who owes is led to paying, and nobody gets a second subscription by Checkout."""

import json

import pytest
from django.test import Client

from billing import tasks
from billing.catalog.policies import STATUSES
from billing.entitlement import next_action, store
from billing.exceptions import AccountLocked, AlreadySubscribed, PaymentRequired
from billing.gateway import stripe_api
from billing.messages import transitions
from billing.models import CheckoutIntent, Subscription
from tests.billing.subscribed import default_on_renewal, on_pro, pass_days
from tests.factories.orgs import api_token_for, owner_of

pytestmark = pytest.mark.django_db

ORDER = {"tier": "pro", "interval": "month", "currency": "usd", "seats": "1"}


def orders_by_page(organization):
    """What the owner reads after the button; nothing is left of the order."""
    client = Client()
    client.force_login(owner_of(organization))
    path = f"/o/{organization.slug}/settings/billing/checkout/"
    html = client.post(path, ORDER, follow=True).content.decode().replace("&nbsp;", " ")
    assert not CheckoutIntent.objects.open().filter(organization=organization).exists()
    return html


def billing_page(organization):
    client = Client()
    client.force_login(owner_of(organization))
    return client.get(f"/o/{organization.slug}/settings/billing/").content.decode()


def orders_by_api(organization):
    answer = Client().post(
        "/api/v1/billing/checkout",
        data=json.dumps({"tier": "pro", "organization": organization.slug}),
        content_type="application/json",
        headers={"authorization": f"Bearer {api_token_for(owner_of(organization))}"},
    )
    told = answer.json()
    return answer.status_code, told.get("code"), told.get("billing_url", "").endswith("/billing/")


def pays_the_open_invoice(stripe, organization):
    stripe.simulator.set_card(stripe.customer_of(organization), None)
    owed = store.current(organization).owed_invoice
    card = organization.payment_methods.get().stripe_id
    stripe_api.client().v1.invoices.pay(owed, {"payment_method": card})
    stripe.deliver_all(organization)


def test_who_owes_cannot_buy_beside_the_debt_in_grace_locked_or_after_the_end(stripe):
    organization = on_pro(stripe, seats=3)
    default_on_renewal(stripe, organization)

    assert orders_by_api(organization) == (403, "payment_required", True)
    html = orders_by_page(organization)
    assert "Pay the open invoice first" in html
    assert "Pay $18.00" in html

    pass_days(stripe, organization, 3.1)
    assert orders_by_api(organization) == (403, "account_locked", True)

    stripe_api.cancel_subscription(organization.subscriptions.get().stripe_id, key="leaves")
    stripe.deliver_all(organization)
    assert not organization.subscriptions.live().exists()
    with pytest.raises(AccountLocked):
        stripe.start_checkout(organization)
    html = orders_by_page(organization)
    assert "read-only until the open invoice is paid" in html
    assert "Pay $18.00" in html

    pays_the_open_invoice(stripe, organization)
    assert stripe.start_checkout(organization).url


def test_where_the_plan_went_with_the_debt_none_is_sold_until_it_is_paid(
    stripe, settings, catalog_file
):
    """The new subscription would be paid, and gone at once for the old invoice."""
    catalog_file.edit('at_end = "lock"', 'at_end = "downgrade"\ncancel_at_stripe = true')
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 3.5)
    transitions.make_due_changes_visible()
    tasks.end_unpaid_subscriptions()
    stripe.deliver_all(organization)
    left = store.current(organization)
    assert (left.plan.key, left.access, left.source) == ("hobby", "full", "default")

    html = orders_by_page(organization)

    assert next_action.of(left) == "pay_invoice"
    assert "An invoice is unpaid" in html
    assert "Pay $6.00" in html
    with pytest.raises(PaymentRequired):
        stripe.start_checkout(organization)
    pays_the_open_invoice(stripe, organization)
    assert "An invoice is unpaid" not in billing_page(organization)
    stripe.buy(organization)
    stripe.deliver_all(organization)
    assert store.current(organization).plan.key == "pro"


def test_where_a_lost_dispute_takes_the_plan_support_settles_it_first(
    stripe, settings, catalog_file
):
    catalog_file.edit('lost_dispute = "lock"', 'lost_dispute = "downgrade"')
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)
    dispute = stripe.simulator.dispute(stripe.customer_of(organization))
    stripe.simulator.close_dispute(dispute["dispute"], "lost")
    stripe_api.cancel_subscription(organization.subscriptions.get().stripe_id, key="ends")
    stripe.deliver(stripe.simulator.events())
    left = store.current(organization)

    html = orders_by_page(organization)

    assert (left.plan.key, left.access) == ("hobby", "full")
    assert next_action.of(left) == "contact_support"
    assert "Your bank took back an earlier payment." in html
    assert orders_by_api(organization) == (403, "payment_required", True)


def test_with_a_subscription_that_stands_checkout_sells_no_second_one(stripe):
    """Whatever Stripe calls it; what never began or has ended is in nobody's way."""
    organization = on_pro(stripe)
    found: dict[str, object] = {}
    for status in STATUSES:
        Subscription.objects.filter(organization=organization).update(status=status)
        store.rederive(organization, cause="test")
        try:
            found[status] = bool(stripe.start_checkout(organization).url)
        except (AlreadySubscribed, AccountLocked) as refusal:
            found[status] = refusal.code

    assert found == {
        "incomplete": True,
        "incomplete_expired": True,
        "canceled": True,
        "trialing": "already_subscribed",
        "active": "already_subscribed",
        "past_due": "already_subscribed",
        "paused": "already_subscribed",
        "unpaid": "account_locked",
    }
