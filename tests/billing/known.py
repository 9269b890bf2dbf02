"""Facts as `resolve` takes them: a paying subscription, its failed invoice, a grant in force."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from billing.entitlement.verdict import (
    GrantFact,
    InvoiceFact,
    PlanRef,
    Policy,
    SubscriptionFact,
)
from billing.models import Access

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOBBY = PlanRef(key="hobby", version=1)
PRO = PlanRef(key="pro", version=1)
ENTERPRISE = PlanRef(key="enterprise", version=1)
POLICY = Policy(
    default_plan=HOBBY,
    status_grants={
        "trialing": "full",
        "active": "full",
        "past_due": "full",
        "unpaid": "read_only",
        "paused": "none",
        "incomplete": "none",
        "incomplete_expired": "none",
        "canceled": "none",
    },
    grace=3 * DAY,
    access_during_grace=Access.RESTRICTED,
    at_end="lock",
)
DOWNGRADING = replace(POLICY, at_end="downgrade", grace=7 * DAY)


def subscription(**changes):
    fact = SubscriptionFact(
        stripe_id="sub_1",
        status="active",
        plan=PRO,
        price_id="price_pro",
        quantity=3,
        interval="month",
        currency="usd",
        livemode=False,
        created_at=NOW - 40 * DAY,
        period_start=NOW - 10 * DAY,
        period_end=NOW + 20 * DAY,
    )
    return replace(fact, **changes)


def invoice(**changes):
    fact = InvoiceFact(
        stripe_id="in_1",
        status="open",
        billing_reason="subscription_cycle",
        subscription_id="sub_1",
        collection_method="charge_automatically",
        amount_remaining=600,
        attempt_count=1,
        finalized_at=NOW - DAY,
    )
    return replace(fact, **changes)


def grant(source, plan=ENTERPRISE, **changes):
    fact = GrantFact(
        id=1, source=source, plan=plan, seats=None, starts_at=NOW - DAY, ends_at=NOW + DAY
    )
    return replace(fact, **changes)
