"""No unknown price, wrong mode, garbage grant or licence ever raises a tier (A19, A20, F1-F6).

Whatever is true of an organization, one more doubtful fact leaves it on the plan that it had; a
doubtful licence may lower it. The faults at the end show that the property can fail.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.catalog.policies import STATUSES
from billing.entitlement import resolution
from billing.entitlement.verdict import (
    Facts,
    GrantFact,
    InvoiceFact,
    LicenceFact,
    PlanRef,
    SubscriptionFact,
)
from billing.models import Source
from tests.billing.known import DOWNGRADING, ENTERPRISE, HOBBY, POLICY, PRO

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LADDER = (HOBBY.key, PRO.key, ENTERPRISE.key)
TITANIUM = PlanRef(key="titanium", version=7)
GIVEN = [Source.SITE_OWNER, Source.CONTRACT, Source.MANUAL, Source.PILOT, Source.TRIAL]

past = st.integers(0, 60).map(lambda days: NOW - days * DAY)
future = st.integers(1, 60).map(lambda days: NOW + days * DAY)
plans = st.sampled_from([HOBBY, PRO, ENTERPRISE])
policies = st.sampled_from([POLICY, DOWNGRADING, replace(POLICY, beta=True)]).map(
    lambda policy: replace(policy, ladder=LADDER)
)


def subscriptions(**fixed):
    drawn = {
        "stripe_id": st.sampled_from(["sub_1", "sub_2"]),
        "status": st.sampled_from(["active", "trialing", "past_due"]),
        "plan": plans,
        "price_id": st.just("price"),
        "quantity": st.integers(1, 50),
        "interval": st.just("month"),
        "currency": st.just("usd"),
        "livemode": st.just(False),
        "created_at": past,
        "period_end": st.none() | future,
    }
    return st.builds(SubscriptionFact, **(drawn | fixed))


def grants(**fixed):
    drawn = {
        "id": st.integers(1, 9),
        "source": st.sampled_from(GIVEN),
        "plan": plans,
        "seats": st.none() | st.integers(1, 50),
        "starts_at": past,
        "ends_at": st.none() | future,
    }
    return st.builds(GrantFact, **(drawn | fixed))


def licences(**fixed):
    drawn = {"plan": plans, "seats": st.none() | st.integers(1, 9), "starts_at": past,
             "ends_at": future}  # fmt: skip
    return st.builds(LicenceFact, **(drawn | fixed))


invoices = st.builds(
    InvoiceFact,
    stripe_id=st.sampled_from(["in_1", "in_2"]),
    status=st.sampled_from(["open", "uncollectible", "void"]),
    billing_reason=st.sampled_from(["subscription_create", "subscription_cycle"]),
    subscription_id=st.sampled_from(["sub_1", "sub_2"]),
    collection_method=st.just("charge_automatically"),
    amount_remaining=st.integers(0, 900),
    attempt_count=st.integers(0, 3),
    finalized_at=past,
)
worlds = st.builds(
    Facts,
    subscriptions=st.lists(subscriptions(), max_size=2, unique_by=lambda s: s.stripe_id).map(tuple),
    invoices=st.lists(invoices, max_size=2, unique_by=lambda i: i.stripe_id).map(tuple),
    grants=st.lists(grants(), max_size=2, unique_by=lambda g: g.id).map(tuple),
    configured=st.booleans(),
    has_ever_billed=st.booleans(),
    licence=st.none() | licences(),
)

strange = st.text(max_size=12).filter(lambda status: status not in STATUSES)
doubtful_subscriptions = st.one_of(
    subscriptions(stripe_id=st.just("sub_x"), plan=st.none()),
    subscriptions(stripe_id=st.just("sub_x"), livemode=st.just(True)),
    subscriptions(stripe_id=st.just("sub_x"), status=strange),
    subscriptions(stripe_id=st.just("sub_x"), paused=st.just(True)),
    subscriptions(stripe_id=st.just("sub_x"), cancel_at=past),
)
doubtful_grants = st.one_of(
    grants(id=st.just(99), plan=st.none()),
    grants(id=st.just(99), starts_at=future),
    grants(id=st.just(99), ends_at=past),
    grants(id=st.just(99), source=st.sampled_from([s for s in Source if s not in GIVEN])),
)
doubtful_licences = st.one_of(
    licences(plan=st.none() | st.just(TITANIUM)),
    licences(starts_at=st.none() | future),
    licences(ends_at=st.none() | past),
    licences(refusal=st.sampled_from(["missing", "invalid", "clock_rolled_back"])),
    licences(seats=st.just(0), refusal=st.just("invalid")),
)


def plain(verdict):
    """A doubtful fact may be told in the trace, and its own instants are looked at again."""
    return replace(verdict, trace=(), valid_until=None)


def rung(verdict):
    return LADDER.index(verdict.plan.key)


def check_addition(world, policy, subscription, grant):
    before = resolution.resolve(world, policy, NOW)
    for more in (
        replace(world, subscriptions=(subscription, *world.subscriptions)),
        replace(world, grants=(grant, *world.grants)),
        replace(world, grants=(grant, *world.grants),
                subscriptions=(*world.subscriptions, subscription)),
    ):  # fmt: skip
        assert plain(resolution.resolve(more, policy, NOW)) == plain(before)


def check_licence(world, policy, licence):
    """Beside any other licence, and beside none."""
    worth_nothing = resolution.resolve(replace(world, licence=licence), policy, NOW)

    assert rung(worth_nothing) == rung(resolution.resolve(Facts(), policy, NOW))
    assert rung(worth_nothing) <= rung(resolution.resolve(world, policy, NOW))
    assert not worth_nothing.is_beta


def prove(check, **drawn):
    @settings(max_examples=120, deadline=None, database=None, derandomize=True,
              phases=(Phase.generate,))  # fmt: skip
    @given(world=worlds, policy=policies, **drawn)
    def holds(**found):
        check(**found)

    holds()


ADDED = {"subscription": doubtful_subscriptions, "grant": doubtful_grants}


def test_no_unknown_price_wrong_mode_or_garbage_grant_changes_a_verdict():
    prove(check_addition, **ADDED)


def test_no_garbage_licence_raises_a_tier():
    prove(check_licence, licence=doubtful_licences)


def believed(found, facts, policy, now):
    return "full", ""


FAULTS = {
    "subscriptions are believed": (check_addition, ADDED, "_subscription_grants", believed),
    "grants are believed": (check_addition, ADDED, "_grant_refusal", lambda grant, now: ""),
    "licences are believed": (
        check_licence,
        {"licence": doubtful_licences},
        "_licensed",
        lambda licence, policy, now: (licence.plan, ""),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_that_believes_what_it_is_told_is_noticed(fault, monkeypatch):
    check, drawn, name, careless = FAULTS[fault]
    monkeypatch.setattr(resolution, name, careless)

    with pytest.raises((AssertionError, ValueError, KeyError)):
        prove(check, **drawn)
