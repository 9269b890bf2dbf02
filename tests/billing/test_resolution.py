"""`resolve` decides the plan from facts alone; these are its sentences."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.policies import STATUSES
from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import (
    Facts,
    GrantFact,
    InvoiceFact,
    SubscriptionFact,
)
from billing.models import Access, Source
from tests.billing.known import (
    DAY,
    DOWNGRADING,
    ENTERPRISE,
    HOBBY,
    NOW,
    POLICY,
    PRO,
    grant,
    invoice,
    subscription,
)


def test_nothing_known_means_the_default_plan():
    verdict = resolve(Facts(), POLICY, NOW)

    assert (verdict.plan, verdict.source, verdict.access) == (HOBBY, Source.DEFAULT, Access.FULL)


def test_an_active_subscription_gives_its_plan_and_seats():
    verdict = resolve(Facts(subscriptions=(subscription(),)), POLICY, NOW)

    assert (verdict.plan, verdict.source, verdict.seats) == (PRO, Source.STRIPE, 3)


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_grants_what_the_table_says_and_no_more(status):
    verdict = resolve(Facts(subscriptions=(subscription(status=status),)), POLICY, NOW)

    grants = POLICY.status_grants[status]
    assert verdict.plan == (HOBBY if grants == "none" else PRO)
    assert verdict.access == (Access.FULL if grants == "none" else Access(grants))


def test_a_status_that_nobody_knows_grants_nothing():
    verdict = resolve(Facts(subscriptions=(subscription(status="blissful"),)), POLICY, NOW)

    assert verdict.plan == HOBBY


@pytest.mark.parametrize(
    "doubt",
    [
        {"plan": None},
        {"livemode": True},
        {"paused": True},
        {"cancel_at": NOW},
        {"cancel_at_period_end": True, "period_end": NOW},
    ],
)
def test_a_doubt_about_a_subscription_grants_nothing(doubt):
    verdict = resolve(Facts(subscriptions=(subscription(**doubt),)), POLICY, NOW)

    assert (verdict.plan, verdict.source) == (HOBBY, Source.DEFAULT)


def test_a_deleted_customer_has_nothing():
    verdict = resolve(Facts(subscriptions=(subscription(),), customer_deleted=True), POLICY, NOW)

    assert verdict.plan == HOBBY


def test_an_active_subscription_whose_first_payment_is_under_way_grants_nothing_yet():
    debit = invoice(billing_reason="subscription_create", attempt_count=0)

    verdict = resolve(Facts(subscriptions=(subscription(),), invoices=(debit,)), POLICY, NOW)

    assert (verdict.plan, verdict.grace_ends_at) == (HOBBY, None)


def test_a_first_payment_that_failed_locks_nobody():
    failed = invoice(billing_reason="subscription_create", finalized_at=NOW - 30 * DAY)
    never_paid = subscription(status="incomplete")

    verdict = resolve(Facts(subscriptions=(never_paid,), invoices=(failed,)), POLICY, NOW)

    assert (verdict.plan, verdict.access) == (HOBBY, Access.FULL)


def test_a_cancellation_at_period_end_keeps_the_plan_until_then():
    ending = subscription(cancel_at_period_end=True)

    verdict = resolve(Facts(subscriptions=(ending,)), POLICY, NOW)

    assert verdict.plan == PRO
    assert verdict.ends_at == verdict.valid_until == ending.period_end


PRECEDENCE = [Source.SITE_OWNER, Source.CONTRACT, Source.MANUAL, Source.STRIPE, Source.TRIAL]


@pytest.mark.parametrize("stronger", range(len(PRECEDENCE) - 1))
def test_sources_win_in_the_order_of_the_design(stronger):
    contenders = PRECEDENCE[stronger : stronger + 2]
    grants = tuple(
        grant(source, id=number)
        for number, source in enumerate(contenders)
        if source != Source.STRIPE
    )
    subscriptions = (subscription(),) if Source.STRIPE in contenders else ()

    verdict = resolve(Facts(subscriptions=subscriptions, grants=grants), POLICY, NOW)

    assert verdict.source == contenders[0]


@pytest.mark.parametrize(
    "never",
    [{"starts_at": NOW + DAY, "ends_at": None}, {"ends_at": NOW}, {"plan": None}],
)
def test_a_grant_that_is_not_in_force_gives_nothing(never):
    verdict = resolve(Facts(grants=(grant(Source.MANUAL, **never),)), POLICY, NOW)

    assert verdict.plan == HOBBY


def test_a_coming_grant_says_when_to_look_again():
    coming = grant(Source.MANUAL, starts_at=NOW + DAY, ends_at=None)

    verdict = resolve(Facts(grants=(coming,)), POLICY, NOW)

    assert verdict.valid_until == NOW + DAY


INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("moment", "access"),
    [
        (3 * DAY - INSTANT, Access.RESTRICTED),
        (3 * DAY, Access.READ_ONLY),
        (3 * DAY + INSTANT, Access.READ_ONLY),
    ],
)
def test_grace_runs_three_days_from_when_the_invoice_was_finalized(moment, access):
    facts = Facts(subscriptions=(subscription(status="past_due"),), invoices=(invoice(),))

    verdict = resolve(facts, POLICY, NOW - DAY + moment)

    assert verdict.access == access
    assert verdict.grace_ends_at == NOW + 2 * DAY


def test_a_payment_in_the_last_instant_unlocks_because_the_lock_is_derived():
    unpaid = Facts(subscriptions=(subscription(status="past_due"),), invoices=(invoice(),))
    late = NOW + 30 * DAY

    locked = resolve(unpaid, POLICY, late)
    paid = resolve(replace(unpaid, subscriptions=(subscription(),), invoices=()), POLICY, late)

    assert (locked.access, paid.access) == (Access.READ_ONLY, Access.FULL)


def test_a_retry_that_fails_does_not_restart_the_grace():
    def facts(attempts):
        return Facts(
            subscriptions=(subscription(status="past_due"),),
            invoices=(invoice(attempt_count=attempts),),
        )

    deadlines = {resolve(facts(n), POLICY, NOW).grace_ends_at for n in (1, 2, 5)}

    assert len(deadlines) == 1


@pytest.mark.parametrize("paid", ["in_older", "in_younger"])
def test_a_locked_organization_stays_so_until_both_invoices_are_paid(paid):
    both = (
        invoice(stripe_id="in_older", finalized_at=NOW - 9 * DAY),
        invoice(stripe_id="in_younger", finalized_at=NOW - 8 * DAY),
    )
    facts = Facts(subscriptions=(subscription(status="past_due"),), invoices=both)
    one = replace(facts, invoices=tuple(row for row in both if row.stripe_id != paid))

    verdicts = [resolve(known, POLICY, NOW) for known in (facts, one, replace(one, invoices=()))]

    assert [verdict.access for verdict in verdicts] == ["read_only", "read_only", "full"]


def test_what_was_cancelled_and_then_failed_ends_with_its_period_and_is_still_owed():
    """D9: the failure neither keeps the plan beyond its end nor is forgiven by it."""
    ending = subscription(status="past_due", cancel_at_period_end=True, period_end=NOW + DAY)
    facts = Facts(subscriptions=(ending,), invoices=(invoice(finalized_at=NOW - DAY),))

    before = resolve(facts, POLICY, NOW)
    after = resolve(facts, POLICY, NOW + DAY)
    locked = resolve(facts, POLICY, NOW + 9 * DAY)

    assert (before.plan, before.ends_at, before.reason) == (
        PRO, NOW + DAY, "payment_failed_grace",
    )  # fmt: skip
    assert (after.plan, after.reason) == (HOBBY, "payment_failed_grace")
    assert (locked.plan, locked.access) == (HOBBY, Access.READ_ONLY)


def test_of_two_failed_invoices_the_older_one_sets_the_clock():
    older = invoice(stripe_id="in_0", finalized_at=NOW - 2 * DAY)
    facts = Facts(subscriptions=(subscription(status="past_due"),), invoices=(invoice(), older))

    verdict = resolve(facts, POLICY, NOW)

    assert verdict.grace_ends_at == NOW + DAY


@pytest.mark.parametrize(
    "harmless",
    [
        {"status": "void"},
        {"status": "paid"},
        {"amount_remaining": 0},
        {"attempt_count": 0},
        {"collection_method": "send_invoice", "due_date": NOW + DAY},
        {"collection_method": "send_invoice", "due_date": None},
    ],
)
def test_an_invoice_that_is_not_overdue_starts_no_grace(harmless):
    facts = Facts(subscriptions=(subscription(),), invoices=(invoice(**harmless),))

    verdict = resolve(facts, POLICY, NOW)

    assert (verdict.access, verdict.grace_ends_at) == (Access.FULL, None)


def test_an_uncollectible_invoice_stays_owed():
    written_off = invoice(status="uncollectible", finalized_at=NOW - 9 * DAY)
    facts = Facts(subscriptions=(subscription(status="canceled"),), invoices=(written_off,))

    verdict = resolve(facts, POLICY, NOW)

    assert verdict.access == Access.READ_ONLY


def test_a_sent_invoice_is_owed_from_its_due_date():
    sent = invoice(
        collection_method="send_invoice", due_date=NOW - DAY, finalized_at=NOW - 31 * DAY
    )
    facts = Facts(subscriptions=(subscription(),), invoices=(sent,))

    verdict = resolve(facts, POLICY, NOW)

    assert verdict.grace_ends_at == NOW + 2 * DAY


def test_cancelling_does_not_unlock_while_the_invoice_is_open():
    facts = Facts(
        subscriptions=(subscription(status="canceled"),),
        invoices=(invoice(finalized_at=NOW - 9 * DAY),),
    )

    verdict = resolve(facts, POLICY, NOW)

    assert (verdict.plan, verdict.access) == (HOBBY, Access.READ_ONLY)


def test_a_catalogue_that_downgrades_gives_the_default_plan_with_full_access():
    facts = Facts(
        subscriptions=(subscription(status="past_due"),),
        invoices=(invoice(finalized_at=NOW - 8 * DAY),),
    )

    verdict = resolve(facts, DOWNGRADING, NOW)

    assert (verdict.plan, verdict.access, verdict.source) == (HOBBY, Access.FULL, Source.DEFAULT)


@pytest.mark.parametrize("source", [Source.SITE_OWNER, Source.MANUAL, Source.PILOT])
def test_what_a_person_granted_by_hand_is_not_locked_by_an_invoice(source):
    facts = Facts(invoices=(invoice(finalized_at=NOW - 9 * DAY),), grants=(grant(source),))

    verdict = resolve(facts, POLICY, NOW)

    assert (verdict.plan, verdict.access) == (ENTERPRISE, Access.FULL)


def test_beta_is_on_only_while_nothing_is_configured_and_nothing_was_ever_sold():
    beta = replace(POLICY, beta=True)

    verdicts = {
        (configured, billed): resolve(
            Facts(configured=configured, has_ever_billed=billed), beta, NOW
        ).is_beta
        for configured in (True, False)
        for billed in (True, False)
    }

    assert verdicts == {
        (True, True): False,
        (True, False): False,
        (False, True): False,
        (False, False): True,
    }


def test_without_a_beta_policy_an_unconfigured_install_serves_the_default_plan():
    verdict = resolve(Facts(configured=False), POLICY, NOW)

    assert (verdict.plan, verdict.is_beta) == (HOBBY, False)


def test_what_was_bought_after_a_subscription_that_ended_counts():
    ended = subscription(stripe_id="sub_1", status="canceled")
    bought = subscription(stripe_id="sub_2", created_at=NOW - timedelta(days=1))

    verdict = resolve(Facts(subscriptions=(bought, ended)), POLICY, NOW)

    assert (verdict.plan, verdict.subscription_id) == (PRO, "sub_2")


def test_the_trace_names_every_fact_that_was_looked_at_and_the_winner():
    facts = Facts(
        subscriptions=(subscription(), subscription(stripe_id="sub_2", plan=None)),
        grants=(grant(Source.TRIAL),),
    )

    trace = [(step.subject, step.outcome) for step in resolve(facts, POLICY, NOW).trace]

    assert trace == [
        ("trial:1", "applies"),
        ("stripe:sub_1", "grants_full"),
        ("stripe:sub_2", "unknown_price"),
        ("default", "applies"),
        ("winner", "stripe"),
    ]


# --- Properties -------------------------------------------------------------------------------

instants = st.integers(-60, 60).map(lambda hours: NOW + timedelta(hours=hours))
maybe_instants = st.none() | instants
plans = st.sampled_from([HOBBY, PRO, ENTERPRISE])
subscriptions = st.builds(
    SubscriptionFact,
    stripe_id=st.sampled_from(["sub_1", "sub_2", "sub_3"]),
    status=st.sampled_from([*STATUSES, "new_status"]),
    plan=st.none() | plans,
    price_id=st.just("price"),
    quantity=st.integers(1, 50),
    interval=st.just("month"),
    currency=st.just("usd"),
    livemode=st.booleans(),
    created_at=instants,
    period_start=maybe_instants,
    period_end=maybe_instants,
    cancel_at=maybe_instants,
    cancel_at_period_end=st.booleans(),
    paused=st.booleans(),
)
invoices = st.builds(
    InvoiceFact,
    stripe_id=st.sampled_from(["in_1", "in_2", "in_3"]),
    status=st.sampled_from(["draft", "open", "paid", "void", "uncollectible"]),
    billing_reason=st.sampled_from(["subscription_create", "subscription_cycle", "manual"]),
    subscription_id=st.sampled_from(["sub_1", "sub_2", ""]),
    collection_method=st.sampled_from(["charge_automatically", "send_invoice"]),
    amount_remaining=st.integers(0, 10_000),
    attempt_count=st.integers(0, 4),
    finalized_at=maybe_instants,
    due_date=maybe_instants,
)
grants = st.builds(
    GrantFact,
    id=st.integers(1, 9),
    source=st.sampled_from(
        [Source.SITE_OWNER, Source.CONTRACT, Source.MANUAL, Source.PILOT, Source.TRIAL]
    ),
    plan=st.none() | plans,
    seats=st.none() | st.integers(1, 50),
    starts_at=instants,
    ends_at=maybe_instants,
)


def facts_of(subscriptions, invoices, grants):
    return Facts(
        subscriptions=tuple({s.stripe_id: s for s in subscriptions}.values()),
        invoices=tuple({i.stripe_id: i for i in invoices}.values()),
        grants=tuple({g.id: g for g in grants}.values()),
    )


all_facts = st.builds(
    facts_of,
    st.lists(subscriptions, max_size=3),
    st.lists(invoices, max_size=3),
    st.lists(grants, max_size=4),
)
policies = st.sampled_from([POLICY, DOWNGRADING])


@given(facts=all_facts, policy=policies, data=st.data())
def test_the_order_of_facts_never_matters(facts, policy, data):
    shuffled = replace(
        facts,
        subscriptions=tuple(data.draw(st.permutations(facts.subscriptions))),
        invoices=tuple(data.draw(st.permutations(facts.invoices))),
        grants=tuple(data.draw(st.permutations(facts.grants))),
    )

    assert resolve(shuffled, policy, NOW) == resolve(facts, policy, NOW)


@given(facts=all_facts, policy=policies)
def test_what_is_not_known_for_certain_never_raises_a_tier(facts, policy):
    doubtful = replace(
        facts,
        subscriptions=tuple(replace(found, plan=None) for found in facts.subscriptions),
        grants=tuple(replace(found, plan=None) for found in facts.grants),
    )

    verdict = resolve(doubtful, policy, NOW)

    assert verdict.plan == HOBBY
    assert verdict.source == Source.DEFAULT


@given(facts=all_facts, policy=policies, hours=st.integers(0, 400))
def test_until_valid_until_the_answer_stays_the_same(facts, policy, hours):
    verdict = resolve(facts, policy, NOW)
    later = NOW + timedelta(hours=hours)

    if verdict.valid_until is None or later < verdict.valid_until:
        again = resolve(facts, policy, later)
        assert replace(again, trace=()) == replace(verdict, trace=())
