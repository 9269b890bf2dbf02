"""Every kind of verdict word for word: each column, each line of the trace, until when it holds.

The page, the admin and the API repeat them, so a changed word here is a changed answer there.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.entitlement.dunning import owed_since
from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import Facts, GrantFact, LicenceFact, PlanRef, Resolution, Step
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

INSTANT = timedelta(microseconds=1)
LADDER = ("hobby", "pro", "enterprise")
LICENSING = replace(POLICY, ladder=LADDER, beta=True)
DEFAULT_APPLIES = Step(subject="default", outcome="applies", detail={"plan": "hobby"})
DEFAULT_WON = Step(
    subject="winner", outcome="default", detail={"plan": "hobby", "subject": "default"}
)
STRIPE_WON = Step(
    subject="winner", outcome="stripe", detail={"plan": "pro", "subject": "stripe:sub_1"}
)
BY_DEFAULT = Resolution(
    plan=HOBBY, source=Source.DEFAULT, status="active", access=Access.FULL, reason="default_plan"
)
SUBSCRIBED = Resolution(
    plan=PRO,
    source=Source.STRIPE,
    status="active",
    access=Access.FULL,
    reason="subscription_active",
    seats=3,
    interval="month",
    currency="usd",
    price_id="price_pro",
    subscription_id="sub_1",
    period_start=NOW - 10 * DAY,
    period_end=NOW + 20 * DAY,
)


def looked_at(outcome: str, **told: str | int | None) -> Step:
    detail: dict[str, str | int | None] = {
        "status": "active", "price": "price_pro", "quantity": 3, "plan": "pro",
    }  # fmt: skip
    return Step(subject="stripe:sub_1", outcome=outcome, detail=detail | told)


def test_of_nothing():
    assert resolve(Facts(), POLICY, NOW) == replace(
        BY_DEFAULT, trace=(DEFAULT_APPLIES, DEFAULT_WON)
    )


def test_of_a_subscription_with_a_pack_that_ends():
    found = subscription(cancel_at=NOW + DAY, added={"storage": 5}, status="trialing")

    assert resolve(Facts(subscriptions=(found,)), POLICY, NOW) == replace(
        SUBSCRIBED,
        status="trialing",
        reason="subscription_trialing",
        added={"storage": 5},
        ends_at=NOW + DAY,
        valid_until=NOW + DAY,
        trace=(looked_at("grants_full", status="trialing"), DEFAULT_APPLIES, STRIPE_WON),
    )


DOUBTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"customer_deleted": True}, "customer_deleted"),
    ({"livemode": True}, {}, "other_mode"),
    ({}, {"livemode": True}, "other_mode"),
    ({"plan": None}, {}, "unknown_price"),
    ({"paused": True}, {}, "status_paused"),
    ({"status": "canceled"}, {}, "status_canceled"),
    ({"status": "blissful"}, {}, "status_blissful"),
    (
        {},
        {"invoices": (invoice(billing_reason="subscription_create", attempt_count=0),)},
        "first_payment_open",
    ),
    ({"cancel_at": NOW}, {}, "cancelled"),
    ({"cancel_at_period_end": True, "period_end": NOW}, {}, "cancelled"),
    # Of several doubts the first in this order is named.
    ({"livemode": True, "plan": None, "status": "canceled"}, {}, "other_mode"),
]


@pytest.mark.parametrize(("doubt", "around", "outcome"), DOUBTS)
def test_of_a_subscription_that_grants_nothing(doubt, around, outcome):
    facts = Facts(subscriptions=(subscription(**doubt),), **around)

    verdict = resolve(facts, POLICY, NOW)

    told = {name: doubt[name] for name in ("status",) if name in doubt}
    if "plan" in doubt:
        told["plan"] = None
    assert replace(verdict, valid_until=None) == replace(
        BY_DEFAULT, trace=(looked_at(outcome, **told), DEFAULT_APPLIES, DEFAULT_WON)
    )


@pytest.mark.parametrize(
    "harmless", [{"collection_method": "send_invoice"}, {"status": "paid"}, {"amount_remaining": 0}]
)
def test_a_first_invoice_withholds_the_plan_only_while_a_debit_is_under_way(harmless):
    first = invoice(billing_reason="subscription_create", attempt_count=0, **harmless)

    verdict = resolve(Facts(subscriptions=(subscription(),), invoices=(first,)), POLICY, NOW)

    assert verdict.plan == PRO


def test_one_cent_of_a_first_payment_is_as_open_as_the_whole():
    cent = invoice(billing_reason="subscription_create", attempt_count=0, amount_remaining=1)

    verdict = resolve(Facts(subscriptions=(subscription(),), invoices=(cent,)), POLICY, NOW)

    assert verdict.plan == HOBBY


ENDING_REFUNDS = replace(POLICY, full_refund="end")
ENDING_PARTS = replace(POLICY, partial_refund="end")


@pytest.mark.parametrize(
    ("policy", "refunded", "plan"),
    [
        (POLICY, 900, PRO),
        (ENDING_REFUNDS, 900, HOBBY),
        (ENDING_REFUNDS, 899, PRO),
        (ENDING_REFUNDS, 901, HOBBY),
        (ENDING_PARTS, 900, PRO),
        (ENDING_PARTS, 899, HOBBY),
        (ENDING_PARTS, 1, HOBBY),
        (ENDING_PARTS, 0, PRO),
    ],
)
@pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle"])
def test_money_that_went_back_ends_the_plan_in_the_measure_of_the_policy(
    policy, refunded, plan, reason
):
    paid = invoice(
        status="paid", amount_remaining=0, amount_paid=900, amount_refunded=refunded,
        billing_reason=reason, period_end=NOW + 20 * DAY,
    )  # fmt: skip

    verdict = resolve(Facts(subscriptions=(subscription(),), invoices=(paid,)), policy, NOW)

    assert verdict.plan == plan
    assert verdict.trace[0].outcome == ("refunded" if plan == HOBBY else "grants_full")


@pytest.mark.parametrize(
    "other",
    [
        {"subscription_id": "sub_2"},
        {"billing_reason": "subscription_update"},
        {"period_end": NOW - 10 * DAY},
    ],
)
def test_money_back_for_something_else_ends_nothing(other):
    paid = invoice(
        status="paid", amount_remaining=0, amount_paid=900, amount_refunded=900,
        **{"period_end": NOW + 20 * DAY} | other,
    )  # fmt: skip

    verdict = resolve(Facts(subscriptions=(subscription(),), invoices=(paid,)), ENDING_REFUNDS, NOW)

    assert verdict.plan == PRO


def test_of_two_subscriptions_the_older_wins_and_of_two_alike_the_lower_id():
    first, second = subscription(stripe_id="sub_a"), subscription(stripe_id="sub_b")
    older = replace(second, created_at=NOW - 50 * DAY)

    alike = resolve(Facts(subscriptions=(second, first)), POLICY, NOW)
    aged = resolve(Facts(subscriptions=(first, older)), POLICY, NOW)

    assert (alike.subscription_id, aged.subscription_id) == ("sub_a", "sub_b")
    assert [step.subject for step in alike.trace[:2]] == ["stripe:sub_a", "stripe:sub_b"]
    assert [step.subject for step in aged.trace[:2]] == ["stripe:sub_b", "stripe:sub_a"]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (Source.SITE_OWNER, "active"),
        (Source.CONTRACT, "active"),
        (Source.MANUAL, "active"),
        (Source.PILOT, "active"),
        (Source.TRIAL, "trialing"),
    ],
)
@pytest.mark.parametrize("seats", [None, 1, 40])
def test_of_a_grant(source, status, seats):
    word = source.value
    given = grant(source, id=7, seats=seats, starts_at=NOW)

    assert resolve(Facts(grants=(given,)), POLICY, NOW) == Resolution(
        plan=ENTERPRISE,
        source=source,
        status=status,
        access=Access.FULL,
        reason=f"{word}_grant",
        seats=seats or 1,
        period_start=NOW,
        period_end=NOW + DAY,
        ends_at=NOW + DAY,
        valid_until=NOW + DAY,
        trace=(
            Step(subject=f"{word}:7", outcome="applies", detail={"plan": "enterprise"}),
            DEFAULT_APPLIES,
            Step(
                subject="winner",
                outcome=word,
                detail={"plan": "enterprise", "subject": f"{word}:7"},
            ),
        ),
    )


@pytest.mark.parametrize(
    ("garbage", "outcome"),
    [
        ({"source": Source.LICENCE}, "unknown_source"),
        ({"source": Source.STRIPE}, "unknown_source"),
        ({"source": Source.MANUAL, "starts_at": NOW + INSTANT}, "not_started"),
        ({"source": Source.MANUAL, "ends_at": NOW}, "ended"),
        ({"source": Source.MANUAL, "plan": None}, "unknown_plan"),
    ],
)
def test_of_a_grant_that_gives_nothing(garbage, outcome):
    verdict = resolve(Facts(grants=(grant(**garbage),)), POLICY, NOW)

    refused = Step(subject=f"{garbage['source'].value}:1", outcome=outcome)
    assert replace(verdict, valid_until=None) == replace(
        BY_DEFAULT, trace=(refused, DEFAULT_APPLIES, DEFAULT_WON)
    )


def test_of_two_grants_alike_the_newer_wins_and_then_the_lower_id():
    old = grant(Source.MANUAL, plan=PRO, id=1, starts_at=NOW - 2 * DAY)
    new = grant(Source.PILOT, id=2)

    newer = resolve(Facts(grants=(old, new)), POLICY, NOW)
    alike = resolve(Facts(grants=(replace(new, id=3), replace(old, starts_at=new.starts_at))),
                    POLICY, NOW)  # fmt: skip

    assert (newer.plan, newer.source) == (ENTERPRISE, Source.PILOT)
    assert (alike.plan, alike.source) == (PRO, Source.MANUAL)
    assert [step.subject for step in alike.trace[:2]] == ["manual:1", "pilot:3"]


def test_a_grant_that_gives_nothing_hides_no_other():
    garbage = grant(Source.MANUAL, id=1, plan=None)

    assert (
        resolve(Facts(grants=(garbage, grant(Source.MANUAL, id=2))), POLICY, NOW).plan == ENTERPRISE
    )


def test_a_trial_is_weaker_than_a_subscription_and_stronger_than_a_licence_or_nothing():
    trial = grant(Source.TRIAL, plan=PRO)
    licence = LicenceFact(plan=ENTERPRISE, starts_at=NOW - DAY, ends_at=NOW + DAY)
    facts = Facts(grants=(trial,), licence=licence, configured=False)

    assert resolve(facts, LICENSING, NOW).source == Source.TRIAL
    paying = replace(facts, subscriptions=(subscription(),))
    assert resolve(paying, LICENSING, NOW).source == Source.STRIPE
    assert resolve(replace(facts, grants=()), LICENSING, NOW).source == Source.LICENCE


# --- Beta -------------------------------------------------------------------------------------


def test_of_beta():
    verdict = resolve(Facts(configured=False), LICENSING, NOW)

    assert verdict == Resolution(
        plan=HOBBY,
        source=Source.BETA,
        status="active",
        access=Access.FULL,
        reason="beta",
        is_beta=True,
        trace=(
            Step(subject="beta", outcome="applies", detail={"plan": "hobby"}),
            Step(subject="winner", outcome="beta", detail={"plan": "hobby", "subject": "beta"}),
        ),
    )


def test_of_beta_that_is_over_because_it_has_billed():
    verdict = resolve(Facts(configured=False, has_ever_billed=True), LICENSING, NOW)

    over = Step(subject="beta", outcome="closed_because_it_has_billed")
    assert verdict == replace(BY_DEFAULT, trace=(over, DEFAULT_APPLIES, DEFAULT_WON))


def test_of_beta_that_is_closed_because_the_licence_is_missing():
    licence = LicenceFact(refusal="missing")

    verdict = resolve(Facts(configured=False, licence=licence), LICENSING, NOW)

    missing = Step(subject="licence", outcome="missing")
    assert verdict == replace(
        BY_DEFAULT, trace=(missing, BETA_CLOSED, DEFAULT_APPLIES, DEFAULT_WON)
    )
    assert verdict.is_beta is False


@pytest.mark.parametrize("policy", [LICENSING, POLICY])
def test_nothing_is_said_of_beta_where_stripe_is_connected(policy):
    verdict = resolve(Facts(has_ever_billed=True), policy, NOW)

    assert verdict == replace(BY_DEFAULT, trace=(DEFAULT_APPLIES, DEFAULT_WON))


def test_nothing_is_said_of_beta_where_the_catalogue_has_none():
    verdict = resolve(Facts(configured=False, has_ever_billed=True), POLICY, NOW)

    assert verdict == replace(BY_DEFAULT, trace=(DEFAULT_APPLIES, DEFAULT_WON))


# --- Licence ----------------------------------------------------------------------------------

LICENCE = LicenceFact(plan=PRO, seats=4, starts_at=NOW, ends_at=NOW + DAY)
STRAY = PlanRef(key="titanium", version=1)
BETA_CLOSED = Step(subject="beta", outcome="closed_because_a_licence_is_needed")


def test_of_a_licence_where_nothing_is_sold():
    verdict = resolve(Facts(licence=LICENCE, configured=False), LICENSING, NOW)

    assert verdict == Resolution(
        plan=PRO,
        source=Source.LICENCE,
        status="active",
        access=Access.FULL,
        reason="licence",
        seats=4,
        ends_at=NOW + DAY,
        valid_until=NOW + DAY,
        trace=(
            Step(subject="licence", outcome="applies", detail={"plan": "pro", "seats": 4}),
            BETA_CLOSED,
            DEFAULT_APPLIES,
            Step(subject="winner", outcome="licence", detail={"plan": "pro", "subject": "licence"}),
        ),
    )


def test_of_a_licence_without_a_number_of_seats():
    facts = Facts(licence=replace(LICENCE, seats=None), configured=False)

    assert resolve(facts, LICENSING, NOW).seats == 1


def test_of_a_licence_that_caps_what_stripe_sells():
    licence = replace(LICENCE, seats=2)
    sold = subscription(plan=ENTERPRISE, added={"storage": 5})

    verdict = resolve(Facts(subscriptions=(sold,), licence=licence), LICENSING, NOW)

    assert verdict == replace(
        SUBSCRIBED,
        source=Source.LICENCE,
        reason="licence_cap",
        seats=2,
        valid_until=NOW + DAY,
        trace=(
            looked_at("grants_full", plan="enterprise"),
            Step(subject="licence", outcome="caps", detail={"plan": "pro", "seats": 2}),
            DEFAULT_APPLIES,
            Step(
                subject="winner",
                outcome="stripe",
                detail={"plan": "enterprise", "subject": "stripe:sub_1"},
            ),
            Step(
                subject="licence",
                outcome="capped",
                detail={"plan": "enterprise", "source": "stripe", "most": "pro"},
            ),
        ),
    )


@pytest.mark.parametrize(("plan", "seats"), [(PRO, 3), (HOBBY, 3), (PRO, 4)])
def test_of_a_licence_that_reaches_far_enough(plan, seats):
    sold = subscription(plan=plan, quantity=seats, added={"storage": 5})

    verdict = resolve(Facts(subscriptions=(sold,), licence=LICENCE), LICENSING, NOW)

    assert (verdict.plan, verdict.source, verdict.seats) == (plan, Source.STRIPE, seats)
    assert (verdict.reason, verdict.added) == ("subscription_active", {"storage": 5})


def test_a_licence_without_seats_takes_none_away():
    licence = replace(LICENCE, seats=None)

    verdict = resolve(Facts(subscriptions=(subscription(),), licence=licence), LICENSING, NOW)

    assert verdict.seats == 3


@pytest.mark.parametrize(
    ("flaw", "word"),
    [
        ({"refusal": "clock_rolled_back"}, "clock_rolled_back"),
        ({"plan": None}, "unknown_plan"),
        ({"plan": STRAY}, "unknown_plan"),
        ({"plan": None, "refusal": "missing"}, "missing"),
        ({"starts_at": None}, "not_started"),
        ({"starts_at": NOW + INSTANT}, "not_started"),
        ({"ends_at": None}, "expired"),
        ({"ends_at": NOW}, "expired"),
    ],
)
def test_of_a_licence_that_counts_for_nothing(flaw, word):
    facts = Facts(subscriptions=(subscription(quantity=9),), licence=replace(LICENCE, **flaw))

    verdict = resolve(facts, LICENSING, NOW)

    assert replace(verdict, valid_until=None) == replace(
        SUBSCRIBED,
        plan=HOBBY,
        source=Source.DEFAULT,
        reason=f"licence_{word}",
        seats=9,
        trace=(
            looked_at("grants_full", quantity=9),
            Step(subject="licence", outcome=word),
            DEFAULT_APPLIES,
            STRIPE_WON,
            Step(
                subject="licence",
                outcome="capped",
                detail={"plan": "pro", "source": "stripe", "most": "hobby"},
            ),
        ),
    )


@pytest.mark.parametrize(("most", "plan"), [(PRO, PRO), (ENTERPRISE, ENTERPRISE), (STRAY, HOBBY)])
def test_a_plan_that_no_ladder_knows_is_above_every_licence_and_no_licence_reaches_it(most, plan):
    facts = Facts(
        grants=(grant(Source.SITE_OWNER, plan=STRAY),), licence=replace(LICENCE, plan=most)
    )

    assert resolve(facts, LICENSING, NOW).plan == plan


@pytest.mark.parametrize("configured", [True, False])
def test_a_licence_for_a_plan_that_no_ladder_knows_gives_the_default_plan(configured):
    facts = Facts(licence=replace(LICENCE, plan=STRAY), configured=configured)

    verdict = resolve(facts, LICENSING, NOW)

    assert (verdict.plan, verdict.source, verdict.reason) == (HOBBY, Source.DEFAULT, "default_plan")


# --- Dunning ----------------------------------------------------------------------------------


def owing(**changes):
    return Facts(subscriptions=(subscription(status="past_due"),), invoices=(invoice(**changes),))


def owes(outcome, since, ends):
    detail = {"invoice": "in_1", "since": since.isoformat(), "ends": ends.isoformat()}
    return Step(subject="dunning", outcome=outcome, detail=detail)


PAST_DUE = replace(
    SUBSCRIBED,
    status="past_due",
    trace=(looked_at("grants_full", status="past_due"), DEFAULT_APPLIES, STRIPE_WON),
)


def test_of_grace():
    since, ends = NOW - DAY, NOW + 2 * DAY

    assert resolve(owing(), POLICY, NOW) == replace(
        PAST_DUE,
        access=Access.RESTRICTED,
        reason="payment_failed_grace",
        grace_ends_at=ends,
        valid_until=ends,
        trace=(*PAST_DUE.trace, owes("grace", since, ends)),
    )


def test_of_grace_that_is_no_stricter_than_the_status_itself():
    unpaid = Facts(subscriptions=(subscription(status="unpaid"),), invoices=(invoice(),))

    assert resolve(unpaid, POLICY, NOW).access == Access.READ_ONLY
    lenient = replace(POLICY, access_during_grace=Access.FULL)
    assert resolve(owing(), lenient, NOW).access == Access.FULL
    strict = replace(POLICY, status_grants={**POLICY.status_grants, "past_due": "restricted"})
    locking = replace(strict, access_during_grace=Access.READ_ONLY)
    assert resolve(owing(), locking, NOW).access == Access.READ_ONLY


def test_of_a_lock():
    since = NOW - 3 * DAY

    assert resolve(owing(finalized_at=since), POLICY, NOW) == replace(
        PAST_DUE,
        access=Access.READ_ONLY,
        reason="payment_failed_lock",
        grace_ends_at=NOW,
        trace=(*PAST_DUE.trace, owes("lock", since, NOW)),
    )


def test_of_a_downgrade():
    since = NOW - 8 * DAY
    ends = NOW - DAY

    assert resolve(owing(finalized_at=since), DOWNGRADING, NOW) == Resolution(
        plan=HOBBY,
        source=Source.DEFAULT,
        status="past_due",
        access=Access.FULL,
        reason="payment_failed_downgrade",
        subscription_id="sub_1",
        grace_ends_at=ends,
        trace=(*PAST_DUE.trace, owes("downgrade", since, ends)),
    )


def test_of_a_debt_that_outlives_its_subscription_where_the_catalogue_downgrades():
    since = NOW - 8 * DAY
    facts = Facts(invoices=(invoice(finalized_at=since),))

    assert resolve(facts, DOWNGRADING, NOW) == replace(
        BY_DEFAULT, trace=(DEFAULT_APPLIES, DEFAULT_WON, owes("downgrade", since, NOW - DAY))
    )


@pytest.mark.parametrize("source", [Source.SITE_OWNER, Source.MANUAL, Source.PILOT])
def test_of_a_debt_beside_what_a_person_gave(source):
    facts = Facts(grants=(grant(source),), invoices=(invoice(),))

    verdict = resolve(facts, POLICY, NOW)

    assert (verdict.reason, verdict.grace_ends_at) == (f"{source.value}_grant", None)
    assert verdict.trace[-1] == owes("overridden", NOW - DAY, NOW + 2 * DAY)


@pytest.mark.parametrize("source", [Source.CONTRACT, Source.TRIAL])
def test_a_contract_or_a_trial_is_locked_by_a_debt_and_not_downgraded(source):
    facts = Facts(grants=(grant(source),), invoices=(invoice(finalized_at=NOW - 9 * DAY),))

    assert resolve(facts, POLICY, NOW).access == Access.READ_ONLY
    assert resolve(facts, DOWNGRADING, NOW).plan == ENTERPRISE


@pytest.mark.parametrize(
    ("owed", "since"),
    [
        (invoice(amount_remaining=1), NOW - DAY),
        (invoice(amount_remaining=0), None),
        (invoice(amount_remaining=-1), None),
        (invoice(attempt_count=0), None),
        (invoice(finalized_at=None), None),
        (invoice(status="draft"), None),
        (invoice(collection_method="send_invoice", due_date=NOW), NOW),
        (invoice(collection_method="send_invoice", due_date=NOW + INSTANT), None),
        (invoice(collection_method="send_invoice", due_date=NOW, attempt_count=0), NOW),
    ],
)
def test_since_when_an_invoice_is_owed(owed, since):
    found = owed_since(Facts(invoices=(owed,)), NOW)

    assert found == (None if since is None else (since, owed))


def test_the_invoice_of_a_change_that_was_never_paid_is_not_owed():
    changing = subscription(pending_invoice="in_1")

    assert owed_since(Facts(subscriptions=(changing,), invoices=(invoice(),)), NOW) is None


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired"])
def test_what_never_began_owes_nothing(status):
    never = Facts(subscriptions=(subscription(status=status),), invoices=(invoice(),))

    assert owed_since(never, NOW) is None


def test_a_first_payment_under_way_owes_nothing_even_after_a_failed_attempt():
    first = invoice(billing_reason="subscription_create")

    assert owed_since(Facts(subscriptions=(subscription(),), invoices=(first,)), NOW) is None


def test_of_two_debts_of_one_instant_the_lower_id_is_named():
    later = invoice(stripe_id="in_0", finalized_at=NOW)
    facts = Facts(invoices=(invoice(stripe_id="in_9"), invoice(stripe_id="in_2"), later))

    found = owed_since(facts, NOW)

    assert found == (NOW - DAY, facts.invoices[1])


# --- Disputes ---------------------------------------------------------------------------------

LOST = (
    invoice(stripe_id="in_7", status="paid", amount_remaining=0, dispute="lost"),
    invoice(stripe_id="in_5", status="paid", amount_remaining=0, dispute="lost"),
    invoice(stripe_id="in_3", status="paid", amount_remaining=0, dispute="won"),
)


def disputed(outcome):
    return Step(subject="dispute", outcome=outcome, detail={"invoice": "in_5"})


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("flag", {}),
        ("lock", {"access": Access.READ_ONLY, "reason": "dispute_lost_lock"}),
    ],
)
def test_of_a_lost_dispute(rule, changes):
    facts = Facts(subscriptions=(subscription(),), invoices=LOST)

    verdict = resolve(facts, replace(POLICY, lost_dispute=rule), NOW)

    trace = (looked_at("grants_full"), DEFAULT_APPLIES, STRIPE_WON, disputed(rule))
    assert replace(verdict, valid_until=None) == replace(SUBSCRIBED, trace=trace, **changes)


def test_of_a_lost_dispute_that_takes_the_plan():
    facts = Facts(subscriptions=(subscription(),), invoices=LOST)
    policy = replace(POLICY, lost_dispute="downgrade")

    verdict = resolve(facts, policy, NOW)

    assert replace(verdict, valid_until=None) == Resolution(
        plan=HOBBY,
        source=Source.DEFAULT,
        status="active",
        access=Access.FULL,
        reason="dispute_lost_downgrade",
        subscription_id="sub_1",
        trace=(looked_at("grants_full"), DEFAULT_APPLIES, STRIPE_WON, disputed("downgrade")),
    )
    trial = replace(facts, subscriptions=(), grants=(grant(Source.TRIAL),))
    assert resolve(trial, policy, NOW).source == Source.TRIAL


@pytest.mark.parametrize("source", [Source.SITE_OWNER, Source.MANUAL, Source.PILOT])
def test_of_a_lost_dispute_beside_what_a_person_gave(source):
    facts = Facts(grants=(grant(source),), invoices=LOST)

    verdict = resolve(facts, replace(POLICY, lost_dispute="lock"), NOW)

    assert (verdict.access, verdict.trace[-1]) == (Access.FULL, disputed("overridden"))


# --- Until when -------------------------------------------------------------------------------

SOON = NOW + 5 * DAY


@pytest.mark.parametrize(
    ("facts", "until"),
    [
        (Facts(grants=(grant(Source.MANUAL, starts_at=SOON, ends_at=None),)), SOON),
        (Facts(grants=(grant(Source.MANUAL, ends_at=SOON),)), SOON),
        (Facts(licence=replace(LICENCE, starts_at=SOON, ends_at=None)), SOON),
        (Facts(licence=replace(LICENCE, ends_at=SOON)), SOON),
        (Facts(subscriptions=(subscription(cancel_at=SOON),)), SOON),
        (Facts(subscriptions=(subscription(cancel_at=NOW),)), None),
        (Facts(invoices=(invoice(finalized_at=SOON, due_date=NOW + DAY),)), SOON),
        (Facts(invoices=(invoice(finalized_at=SOON - 3 * DAY, status="paid"),)), SOON - 3 * DAY),
        (Facts(invoices=(invoice(finalized_at=NOW, status="paid"),)), NOW + 3 * DAY),
        (
            Facts(
                invoices=(
                    invoice(
                        collection_method="send_invoice", finalized_at=NOW + DAY, due_date=SOON
                    ),
                )
            ),
            SOON,
        ),
        (Facts(invoices=(invoice(finalized_at=None),)), None),
        (Facts(grants=(GrantFact(id=1, source=Source.MANUAL, plan=PRO, seats=None,
                                 starts_at=NOW, ends_at=None),)), None),
    ],
)  # fmt: skip
def test_the_answer_holds_until_the_next_instant_that_can_change_it(facts, until):
    assert resolve(facts, LICENSING, NOW).valid_until == until
