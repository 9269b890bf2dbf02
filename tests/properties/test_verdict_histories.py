"""Histories of facts alone: `resolve`, dunning and usage periods against independent references."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import GrantFact, Policy, Resolution, SubscriptionFact
from billing.models import Access, Source
from quotas.engine.periods import period_at
from quotas.models import PeriodRule
from tests.properties import fact_histories, verdict_reference
from tests.properties.fact_histories import MOVES, PLANS, Listener, World, facts_of
from tests.properties.verdict_reference import Answer

LOCKING = Policy(
    default_plan=PLANS[0],
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
    grace=timedelta(days=3),
    access_during_grace=Access.RESTRICTED,
    at_end="lock",
)
POLICIES = (
    LOCKING,
    replace(LOCKING, at_end="downgrade", grace=timedelta(days=7), full_refund="end"),
    replace(LOCKING, access_during_grace=Access.FULL, beta=True, lost_dispute="lock"),
    replace(LOCKING, lost_dispute="downgrade", full_refund="end", partial_refund="end"),
)
often = ("subscribe", "renew", "fail", "pay", "wait", "wait", "wait")
histories = st.lists(
    st.tuples(st.sampled_from((*MOVES, *often)), st.integers(0, 9999)), min_size=2, max_size=40
)


def answered(verdict: Resolution) -> Answer:
    return Answer(
        verdict.plan.key, verdict.source.value, verdict.access.value, verdict.grace_ends_at
    )


def after(moves, listener, seed):
    """The world at the end, and what the listener believes of it."""
    world = World()
    fact_histories.tell(world, moves, listener, seed)
    given_ = world.grants.values()
    true = facts_of(world.things.values(), given_, deleted=world.deleted)
    believed = facts_of(listener.known.values(), given_, deleted=world.deleted, seed=seed)
    return world, true, believed


def check_history(moves, seed):
    """Told in any order, the verdict is the reference's for what is true; and so ever after."""
    policy = POLICIES[seed % len(POLICIES)]
    world, true, believed = after(moves, Listener(), seed)

    verdict = resolve(believed, policy, world.now)

    assert answered(verdict) == verdict_reference.answer(true, policy, world.now)
    check_the_future(believed, policy, world.now, seed)
    check_doubtful_additions(believed, policy, world.now)


def check_the_future(facts, policy, now, seed):
    """Time goes on: until `valid_until` nothing changes, and then the reference agrees again."""
    chance = random.Random(seed)  # noqa: S311 (a repeatable choice is wanted)
    for _ in range(6):
        verdict = resolve(facts, policy, now)
        assert answered(verdict) == verdict_reference.answer(facts, policy, now)
        until = verdict.valid_until
        assert until is None or until > now
        span = (until - now) if until else timedelta(days=400)
        between = now + span * chance.random()
        assert replace(resolve(facts, policy, between), trace=()) == replace(verdict, trace=())
        if until is None:
            return
        now = until


def check_doubtful_additions(facts, policy, now):
    """A19, A20: no unknown price, other mode, strange status or senseless grant raises a tier."""
    before = resolve(facts, policy, now)
    doubtful = SubscriptionFact(
        stripe_id="sub_doubtful",
        status="active",
        plan=PLANS[-1],
        price_id="price_x",
        quantity=99,
        interval="month",
        currency="usd",
        livemode=False,
        created_at=now - timedelta(days=999),
    )
    for change in (
        {"plan": None},
        {"livemode": True},
        {"status": "blissful"},
        {"status": "incomplete"},
        {"cancel_at": now},
        {"paused": True},
    ):
        more = replace(facts, subscriptions=(*facts.subscriptions, replace(doubtful, **change)))
        assert answered(resolve(more, policy, now)) == answered(before), change
    senseless = GrantFact(
        id=999, source=Source.SITE_OWNER, plan=None, seats=None, starts_at=now, ends_at=None
    )
    for change in (
        {},
        {"plan": PLANS[-1], "starts_at": now + timedelta(microseconds=1)},
        {"plan": PLANS[-1], "ends_at": now},
        {"plan": PLANS[-1], "source": Source.LICENCE},
    ):
        more = replace(facts, grants=(*facts.grants, replace(senseless, **change)))
        assert answered(resolve(more, policy, now)) == answered(before), change


def run(check, *, histories_wanted, **drawn):
    """As many examples as are wanted; returns how many were checked."""
    seen = 0

    @settings(max_examples=histories_wanted, deadline=None, database=None, derandomize=True,
              phases=(Phase.explicit, Phase.generate, Phase.shrink))  # fmt: skip
    @given(**drawn)
    def prove(**found):
        nonlocal seen
        seen += 1
        check(**found)

    prove()
    return seen


DRAWN = {"moves": histories, "seed": st.integers(0, 2**32)}


def test_facts_in_any_order_give_the_references_verdict():
    assert run(check_history, histories_wanted=250, **DRAWN) >= 250


@pytest.mark.verify
def test_ten_thousand_histories_of_facts_give_the_references_verdict(report):
    seen = run(check_history, histories_wanted=10_000, **DRAWN)

    report(f"{seen:,} histories of facts, 0 divergences")
    assert seen >= 10_000


def test_a_listener_that_believes_payloads_is_noticed():
    """Shows that the test above can fail: an old payload wins over what is true now."""

    def check(moves, seed):
        policy = POLICIES[seed % len(POLICIES)]
        world, true, believed = after(moves, Listener(believes_payloads=True), seed)
        found = answered(resolve(believed, policy, world.now))
        assert found == verdict_reference.answer(true, policy, world.now)

    with pytest.raises(AssertionError):
        run(check, histories_wanted=250, **DRAWN)


# --- Usage periods ----------------------------------------------------------------------------

first_moment = datetime(1999, 1, 1, tzinfo=UTC)
moments = st.integers(0, 102 * 365 * 86_400).map(lambda s: first_moment + timedelta(seconds=s))


def months_from(anchor, at):
    """By walking from the anchor, month by month, with the calendar's own day arithmetic."""
    start, number = anchor, 0
    step = 1 if at >= anchor else -1
    while True:
        following = _months_later(anchor, number + 1)
        start = _months_later(anchor, number)
        if start <= at < following:
            return start, following
        number += step


def _months_later(anchor, months):
    first = anchor.replace(day=1)
    for _ in range(abs(months)):
        first = (first + timedelta(days=32 if months > 0 else -1)).replace(day=1)
    day = anchor.day
    while True:
        try:
            return first.replace(day=day)
        except ValueError:
            day -= 1


def check_period(anchor, days):
    at = anchor + timedelta(days=days)

    period = period_at(PeriodRule.BILLING, anchor, at)

    assert tuple(period) == months_from(anchor, at)


def test_usage_periods_are_those_of_the_calendar():
    spans = st.floats(-900, 900)
    assert run(check_period, histories_wanted=200, anchor=moments, days=spans) >= 200
