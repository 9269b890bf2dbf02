"""Billing's tables in an organization's archive."""

from billing.models import (
    CheckoutIntent,
    EffectivePlan,
    EffectivePlanChange,
    Ending,
    Grant,
    Invoice,
    PackPurchase,
    PaymentMethod,
    Refund,
    Subscription,
)
from orgs.owned_data.tables import Table, mine, of_model, register

_VERDICT = {
    "plan.key": "the plan",
    "plan.version": "which version of its terms",
    "source": "what gives it: Stripe, a contract, an override, a trial, the default",
    "status": "Stripe's word for the subscription, else active",
    "access": "full, restricted or read_only",
    "seats": "how many seats",
    "interval": "month or year",
    "currency": "in which it is paid",
    "period_start": "begin of the billing period",
    "period_end": "its end",
    "ends_at": "when the plan ends by a decision already taken",
    "grace_ends_at": "until when an open invoice may be paid",
    "is_beta": "whether everything is on without charge",
    "reason": "why this plan, in one word",
    "added": "what add-on packs put on top, by meter",
}


def _plans() -> list[Table]:
    return [
        of_model("plan", "The plan that applies now.", _VERDICT, mine(EffectivePlan)),
        of_model(
            "plan_history",
            "Every change of plan or access, with the reasoning that led to it.",
            {"recorded_at": "when it changed"} | _VERDICT | {"trace": "step by step, why"},
            mine(EffectivePlanChange),
        ),
        of_model(
            "grants",
            "Plans given without Stripe: contracts, pilots, overrides, trials.",
            {
                "source": "what kind",
                "plan_key": "which plan",
                "seats": "for how many seats",
                "limits": "limits of its own, by meter",
                "reason": "why it was given",
                "terms": "of a contract: order number, payment terms, documents",
                "starts_at": "from when",
                "ends_at": "until when",
                "revoked_at": "when it was withdrawn",
                "created_at": "when it was written down",
            },
            mine(Grant),
        ),
    ]


def _money() -> list[Table]:
    return [
        of_model(
            "subscriptions",
            "Subscriptions at Stripe.",
            {
                "stripe_id": "Stripe's id",
                "status": "Stripe's word",
                "interval": "month or year",
                "currency": "in which it is paid",
                "quantity": "how many seats",
                "items": "what is in it",
                "discounts": "what is taken off",
                "created_at": "since when",
                "current_period_start": "begin of the period",
                "current_period_end": "its end",
                "cancel_at_period_end": "whether it ends with the period",
                "cancel_at": "the instant at which it ends",
                "canceled_at": "when that was decided",
                "ended_at": "when it ended",
                "trial_end": "end of its trial",
            },
            mine(Subscription),
        ),
        of_model(
            "invoices",
            "The list of invoices. The documents themselves are at Stripe.",
            {
                "stripe_id": "Stripe's id",
                "number": "the invoice's number",
                "status": "draft, open, paid, void or uncollectible",
                "currency": "of the amounts",
                "subtotal": "before tax",
                "tax": "tax",
                "total": "with tax",
                "amount_due": "what was to be paid",
                "amount_paid": "what was paid",
                "amount_remaining": "what is still owed",
                "amount_refunded": "what went back",
                "lines": "what it covers",
                "created_at": "when it was written",
                "period_start": "begin of what it covers",
                "period_end": "its end",
                "due_date": "when it is due",
                "paid_at": "when it was paid",
                "dispute_status": "of a dispute about it",
            },
            mine(Invoice),
        ),
        of_model(
            "payment_methods",
            "What is shown of cards and accounts. Their numbers are at Stripe alone.",
            {
                "stripe_id": "Stripe's id",
                "type": "card, bank account …",
                "brand": "whose",
                "last4": "the last digits",
                "exp_month": "month of expiry",
                "exp_year": "year of expiry",
                "is_default": "whether it pays by default",
            },
            mine(PaymentMethod),
        ),
    ]


def _purchases() -> list[Table]:
    return [
        of_model(
            "checkouts",
            "Plans that somebody set out to buy.",
            {
                "price.plan.key": "which plan",
                "price.interval": "month or year",
                "price.currency": "in which currency",
                "seats": "how many seats",
                "state": "open, completed or expired",
                "created_at": "when it began",
                "completed_at": "when it was paid",
            },
            mine(CheckoutIntent),
        ),
        of_model(
            "packs",
            "Packs of prepaid units that were bought.",
            {
                "price.key": "which pack",
                "price.currency": "of the amounts",
                "state": "open, paid or expired",
                "amount_paid": "what was paid",
                "amount_refunded": "what went back",
                "created_at": "when it began",
                "paid_at": "when it was paid",
            },
            mine(PackPurchase),
        ),
        of_model(
            "refunds",
            "Payments that went back.",
            {
                "invoice_id": "of which invoice",
                "amount": "to the card",
                "credit": "to the balance at Stripe",
                "currency": "of both",
                "created_at": "when it was decided",
                "done_at": "when it was done",
            },
            mine(Refund),
        ),
        of_model(
            "endings",
            "Subscriptions that were ended by this service, and why.",
            {
                "subscription_id": "Stripe's id",
                "why": "why",
                "refunds": "whether its money goes back",
                "created_at": "when",
            },
            mine(Ending),
        ),
    ]


def register_tables() -> None:
    register(*_plans(), *_money(), *_purchases())
