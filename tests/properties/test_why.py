"""Why at time t: for random histories the answer equals the decision that was recorded at t."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import facts as known
from billing.entitlement import history, store
from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import (
    Facts,
    GrantFact,
    InvoiceFact,
    LicenceFact,
    PlanRef,
    Policy,
    SubscriptionFact,
)
from billing.models import Access, BillingAccount, EffectivePlanChange, Grant, Source
from billing.presentation import why as why_in_words
from tests.factories.orgs import OrganizationFactory

START = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLANS = [PlanRef(key=key, version=1) for key in ("hobby", "pro", "enterprise")]
GRANTED = {"active": "full", "trialing": "full", "past_due": "full", "unpaid": "read_only"}

hours = st.integers(0, 400).map(lambda n: START + n * HOUR)
maybe_hours = st.none() | hours
subscriptions = st.builds(
    SubscriptionFact,
    stripe_id=st.sampled_from(["sub_1", "sub_2"]),
    status=st.sampled_from(["active", "past_due", "unpaid", "canceled", "incomplete"]),
    plan=st.none() | st.sampled_from(PLANS),
    price_id=st.just("price"),
    quantity=st.integers(1, 9),
    interval=st.just("month"),
    currency=st.just("usd"),
    livemode=st.booleans(),
    created_at=hours,
    period_end=maybe_hours,
    cancel_at=maybe_hours,
    cancel_at_period_end=st.booleans(),
    added=st.dictionaries(st.just("storage"), st.integers(0, 9)),
)
invoices = st.builds(
    InvoiceFact,
    stripe_id=st.sampled_from(["in_1", "in_2"]),
    status=st.sampled_from(["open", "uncollectible", "draft"]),
    billing_reason=st.just("subscription_cycle"),
    subscription_id=st.sampled_from(["sub_1", "sub_2"]),
    collection_method=st.sampled_from(["charge_automatically", "send_invoice"]),
    amount_remaining=st.integers(0, 2),
    attempt_count=st.integers(0, 2),
    finalized_at=maybe_hours,
    due_date=maybe_hours,
)
grants = st.builds(
    GrantFact,
    id=st.integers(1, 9),
    source=st.sampled_from([Source.SITE_OWNER, Source.CONTRACT, Source.PILOT, Source.TRIAL]),
    plan=st.none() | st.sampled_from(PLANS),
    seats=st.none() | st.integers(1, 9),
    starts_at=hours,
    ends_at=maybe_hours,
)
licences = st.builds(
    LicenceFact,
    plan=st.none() | st.sampled_from(PLANS),
    seats=st.none() | st.integers(1, 9),
    starts_at=maybe_hours,
    ends_at=maybe_hours,
)
all_facts = st.builds(
    Facts,
    subscriptions=st.lists(subscriptions, max_size=2, unique_by=lambda s: s.stripe_id).map(tuple),
    invoices=st.lists(invoices, max_size=2, unique_by=lambda i: i.stripe_id).map(tuple),
    grants=st.lists(grants, max_size=3, unique_by=lambda g: g.id).map(tuple),
    configured=st.booleans(),
    has_ever_billed=st.booleans(),
    licence=st.none() | licences,
)
policies = st.builds(
    Policy,
    default_plan=st.just(PLANS[0]),
    status_grants=st.just(GRANTED),
    grace=st.integers(0, 240).map(lambda n: n * HOUR),
    access_during_grace=st.sampled_from([Access.FULL, Access.RESTRICTED]),
    at_end=st.sampled_from(["lock", "downgrade"]),
    beta=st.booleans(),
    ladder=st.just(tuple(plan.key for plan in PLANS)),
)
# At each moment somebody looks; facts or policy may have changed just before.
moments = st.lists(
    st.tuples(hours, st.none() | all_facts, st.none() | policies),
    min_size=1,
    max_size=12,
    unique_by=lambda moment: moment[0],
).map(lambda found: sorted(found, key=lambda moment: moment[0]))


@dataclass
class Change:
    """What the store keeps, as the database gives it back."""

    at: datetime
    valid_until: datetime | None
    facts: dict[str, Any]
    policy: dict[str, Any]
    verdict: Any = field(repr=False)


def lived(found, policy):
    """As `store.rederive` records: a row for every change of verdict, facts or policy."""
    changes, decisions, facts = [], [], Facts()
    for at, new_facts, new_policy in found:
        facts, policy = new_facts or facts, new_policy or policy
        verdict = resolve(facts, policy, at)
        decisions.append((at, facts, policy, verdict))
        kept = json.loads(json.dumps([known.as_json(facts), history.policy_as_json(policy)]))
        last = changes[-1] if changes else None
        if last is None or [last.facts, last.policy] != kept or bare(last.verdict) != bare(verdict):
            changes.append(Change(at, verdict.valid_until, kept[0], kept[1], verdict))
    return changes, decisions


def bare(verdict):
    return replace(verdict, trace=())


def why(changes, at):
    before = [change for change in changes if change.at <= at]
    if not before:
        return None
    change = before[-1]
    return history.again(change, at) if history.is_outlived(change, at) else change.verdict


def agrees(found, policy, questions):
    changes, decisions = lived(found, policy)
    for at, _facts, _policy, verdict in decisions:
        assert bare(why(changes, at)) == bare(verdict)
    for at in questions:
        known_then = [decision for decision in decisions if decision[0] <= at]
        if not known_then:
            assert why(changes, at) is None
            continue
        _at, facts, then, _verdict = known_then[-1]
        assert bare(why(changes, at)) == bare(resolve(facts, then, at))


@given(moments, policies, st.lists(hours, max_size=6))
@settings(max_examples=50, deadline=None)
def test_why_at_any_time_is_the_decision_of_that_time(found, policy, questions):
    agrees(found, policy, questions)


@pytest.mark.verify
@given(moments, policies, st.lists(hours, max_size=6))
@settings(max_examples=1500, deadline=None)
def test_why_at_any_time_is_the_decision_of_that_time_over_many_histories(found, policy, questions):
    agrees(found, policy, questions)


@given(all_facts, policies)
@settings(max_examples=100, deadline=None)
def test_facts_and_policy_come_back_from_the_history_as_they_were(facts, policy):
    kept = json.loads(json.dumps([known.as_json(facts), history.policy_as_json(policy)]))

    change = Change(START, None, kept[0], kept[1], None)

    assert history.facts_of(change) == facts
    assert resolve(facts, policy, START + 99 * HOUR) == history.again(change, START + 99 * HOUR)


@given(all_facts, policies, hours)
@settings(max_examples=150, deadline=None)
def test_every_step_is_a_sentence_and_one_of_them_decides(facts, policy, at):
    verdict = resolve(facts, policy, at)
    trace = [asdict(step) for step in verdict.trace]
    row = EffectivePlanChange(trace=trace, source=verdict.source, reason=verdict.reason)

    told = why_in_words.lines(row)

    assert all(line.sentence and "_" not in line.sentence for line in told), told
    (decides,) = (line for line in told if line.wins)
    if verdict.reason == "payment_failed_downgrade":
        assert decides.what == "Open invoice"
    elif verdict.reason.startswith("licence"):
        assert decides.what == "Licence"
    else:
        assert decides.what == str(verdict.source.label)


# --- Through the database ---------------------------------------------------------------------

acts = st.lists(
    st.tuples(
        st.integers(1, 60),  # hours that pass first
        st.sampled_from(["nothing", "contract", "pilot", "trial", "revoke"]),
        st.integers(1, 90),  # hours that a grant lasts
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.django_db(transaction=False)
@given(acts)
@settings(max_examples=12, deadline=None)
def test_what_the_store_recorded_is_what_the_history_answers(found):
    apply(catalog.current(), None, {})
    team = OrganizationFactory.create()
    now, seen = START, []
    for passing, act, lasting in found:
        now += passing * HOUR
        BillingAccount.objects.filter(organization=team).update(frozen_at=now)
        if act == "revoke":
            Grant.objects.filter(organization=team).update(revoked_at=now)
        elif act != "nothing":
            ends = now + lasting * HOUR
            Grant.objects.create(
                organization=team, source=act, plan_key="pro", reason="x",
                starts_at=now, ends_at=ends,
            )  # fmt: skip
        row = store.rederive(team, cause=act)
        seen.append((now, (row.plan.key, row.source, row.access, row.reason, row.ends_at)))

    for at, verdict in seen:
        told = history.at(team, at)
        assert (told.plan.key, told.source, told.access, told.reason, told.ends_at) == verdict
    assert history.at(team, START) is None
    last = EffectivePlanChange.objects.filter(organization=team).order_by("-sequence").first()
    if last.valid_until is not None:
        later = history.at(team, last.valid_until)
        BillingAccount.objects.filter(organization=team).update(frozen_at=last.valid_until)
        row = store.rederive(team, cause="time")
        assert (later.plan.key, later.source) == (row.plan.key, row.source)
