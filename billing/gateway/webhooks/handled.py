"""What each Stripe event does here. Everything else is answered 200, counted and left alone (A18).

The payload never decides anything: it says whose state moved, and that state is fetched again.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SYNC_SUBSCRIPTION = "fetch the subscription, copy it, re-derive the plan"
SYNC_SCHEDULE = "fetch the schedule, copy what it makes of its subscription next"
SYNC_INVOICE = "fetch the invoice, copy it, re-derive plan, grace and access"
SYNC_CUSTOMER = "fetch the customer, copy currency and default payment method"
SYNC_METHOD = "fetch the payment method, copy brand, last digits and expiry"
SYNC_CHARGE = "fetch the charge, copy what was refunded"
SYNC_DISPUTE = "fetch the dispute, flag its invoice"
SYNC_CLOCK = "fetch the test clock, move its organization's time, re-derive the plan"
SYNC_PRICE = "fetch the price or product; a catalogue that no longer agrees raises an alert"

HANDLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "checkout.session.completed": "settle the Checkout intent, then as its subscription",
        "checkout.session.async_payment_succeeded": "a delayed payment arrived: as completed",
        "checkout.session.async_payment_failed": "a delayed payment failed: nothing is granted",
        "checkout.session.expired": "close the Checkout intent",
        "customer.created": SYNC_CUSTOMER,
        "customer.updated": SYNC_CUSTOMER,
        "customer.deleted": "remember the tombstone, end every subscription of the customer",
        "customer.subscription.created": SYNC_SUBSCRIPTION,
        "customer.subscription.updated": SYNC_SUBSCRIPTION,
        "customer.subscription.deleted": SYNC_SUBSCRIPTION,
        "customer.subscription.paused": SYNC_SUBSCRIPTION,
        "customer.subscription.pending_update_applied": SYNC_SUBSCRIPTION,
        "customer.subscription.pending_update_expired": SYNC_SUBSCRIPTION,
        "customer.subscription.resumed": SYNC_SUBSCRIPTION,
        "customer.subscription.trial_will_end": SYNC_SUBSCRIPTION,
        "subscription_schedule.canceled": SYNC_SCHEDULE,
        "subscription_schedule.completed": SYNC_SCHEDULE,
        "subscription_schedule.created": SYNC_SCHEDULE,
        "subscription_schedule.released": SYNC_SCHEDULE,
        "subscription_schedule.updated": SYNC_SCHEDULE,
        "invoice.created": SYNC_INVOICE,
        "invoice.deleted": SYNC_INVOICE,
        "invoice.finalized": SYNC_INVOICE,
        "invoice.finalization_failed": SYNC_INVOICE,
        "invoice.marked_uncollectible": SYNC_INVOICE,
        "invoice.paid": SYNC_INVOICE,
        "invoice.payment_action_required": SYNC_INVOICE,
        "invoice.payment_failed": SYNC_INVOICE,
        "invoice.payment_succeeded": SYNC_INVOICE,
        "invoice.sent": SYNC_INVOICE,
        "invoice.updated": SYNC_INVOICE,
        "invoice.voided": SYNC_INVOICE,
        "payment_method.attached": SYNC_METHOD,
        "payment_method.automatically_updated": SYNC_METHOD,
        "payment_method.detached": SYNC_METHOD,
        "payment_method.updated": SYNC_METHOD,
        "charge.refunded": SYNC_CHARGE,
        "charge.dispute.created": SYNC_DISPUTE,
        "charge.dispute.updated": SYNC_DISPUTE,
        "charge.dispute.closed": SYNC_DISPUTE,
        "charge.dispute.funds_withdrawn": SYNC_DISPUTE,
        "charge.dispute.funds_reinstated": SYNC_DISPUTE,
        "test_helpers.test_clock.ready": SYNC_CLOCK,
        "price.created": SYNC_PRICE,
        "price.updated": SYNC_PRICE,
        "price.deleted": SYNC_PRICE,
        "product.created": SYNC_PRICE,
        "product.updated": SYNC_PRICE,
        "product.deleted": SYNC_PRICE,
    }
)
