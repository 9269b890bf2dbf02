"""Decisions of consume and record: limits, keys, groups."""

from datetime import timedelta

import pytest
from django.utils import timezone

from quotas.engine import asking, enforcement
from quotas.engine.decisions import Line, Outcome, Reason
from quotas.exceptions import IdempotencyConflict, InvalidRequest, UnknownMeter
from quotas.models import Balance, UsageEvent, Verb
from tests.factories.quotas import change_head, events_of, limit_of, limited

pytestmark = pytest.mark.django_db

STORAGE = "storage"
QUERIES = "ai_queries"


def consume(organization, meter=STORAGE, amount=1, key="k", **details):
    return enforcement.consume(organization, meter, amount, idempotency_key=key, **details)


def test_a_hard_limit_refuses_the_unit_that_would_cross_it():
    organization = limited(storage=100)
    consume(organization, amount=90, key="first")

    decision = consume(organization, amount=11, key="second")

    assert decision.outcome is Outcome.DENIED
    assert decision.reason == Reason.QUOTA_EXCEEDED
    assert decision.remaining == 10
    assert UsageEvent.objects.quantity() == 90


def test_a_hard_limit_admits_the_unit_that_reaches_it():
    organization = limited(storage=100)

    decision = consume(organization, amount=100)

    assert decision.allowed
    assert (decision.used, decision.remaining) == (100, 0)


def test_an_unlimited_meter_admits_everything_and_has_no_remainder():
    organization = limited(storage=None)

    decision = consume(organization, amount=10**15)

    assert decision.allowed
    assert (decision.limit, decision.remaining) == (None, None)


def test_a_limit_of_zero_admits_nothing():
    organization = limited(storage=0)

    decision = consume(organization)

    assert not decision.allowed
    assert decision.remaining == 0


def test_the_same_key_gets_the_same_answer():
    organization = limited(storage=100)
    first = consume(organization, amount=60, key="upload")

    again = consume(organization, amount=60, key="upload")

    assert again.replayed
    assert again.event_id == first.event_id
    assert (again.used, again.remaining) == (60, 40)
    assert UsageEvent.objects.quantity() == 60


def test_the_same_key_gets_the_same_answer_when_it_was_a_refusal():
    organization = limited(storage=10)
    consume(organization, amount=11, key="too-much")
    limit_of(organization, STORAGE, amount=100)

    again = consume(organization, amount=11, key="too-much")

    assert again.replayed
    assert not again.allowed


def test_the_same_key_for_another_body_is_a_conflict_without_effect():
    organization = limited(storage=100)
    consume(organization, amount=60, key="upload")

    with pytest.raises(IdempotencyConflict):
        consume(organization, amount=61, key="upload")

    assert UsageEvent.objects.quantity() == 60


def test_keys_of_two_satellites_do_not_meet():
    organization = limited(storage=100)
    consume(organization, amount=10, key="1", satellite=1)

    other = consume(organization, amount=20, key="1", satellite=2)

    assert not other.replayed
    assert other.used == 30


def test_twins_in_one_batch_have_one_effect():
    organization = limited(storage=100)
    request = asking.use(Verb.CONSUME, organization.pk, [Line(STORAGE, 7)], "twin")

    answers = enforcement.decide_all([request, request])

    assert [answer.lines[0].used for answer in answers] == [7, 7]
    assert [answer.lines[0].replayed for answer in answers] == [False, True]
    assert UsageEvent.objects.quantity() == 7


def test_all_lines_are_counted_or_none():
    organization = limited(storage=100, ai_queries=1)

    answer = enforcement.consume_all(
        organization, [Line(STORAGE, 50), Line(QUERIES, 2)], idempotency_key="both"
    )

    assert not answer.allowed
    assert answer.deciding.meter == QUERIES
    assert [line.used for line in answer.lines] == [0, 0]
    assert not Balance.objects.filter(used__gt=0).exists()
    assert [event.reason for event in events_of(organization)] == [
        Reason.GROUP_REFUSED,
        Reason.QUOTA_EXCEEDED,
    ]


def test_a_group_that_another_meter_refuses_still_says_how_much_too_much_there_is_of_a_level():
    organization = limited(storage=100, ai_queries=1)
    consume(organization, amount=60)
    limit_of(organization, STORAGE, amount=40, hard=False)

    answer = enforcement.consume_all(
        organization, [Line(STORAGE, 1), Line(QUERIES, 2)], idempotency_key="both"
    )

    assert (answer.allowed, answer.lines[0].used, answer.lines[0].overage) == (False, 60, 20)


def test_lines_of_the_same_meter_add_up_within_a_request():
    organization = limited(storage=100)

    answer = enforcement.consume_all(
        organization, [Line(STORAGE, 60), Line(STORAGE, 41)], idempotency_key="both"
    )

    assert not answer.allowed
    assert answer.lines[0].used == 0


def test_a_group_that_fits_is_counted_in_each_meter():
    organization = limited(storage=100, ai_queries=5)

    answer = enforcement.consume_all(
        organization, [Line(STORAGE, 60), Line(QUERIES, 2)], idempotency_key="both"
    )

    assert answer.allowed
    assert [line.used for line in answer.lines] == [60, 2]


def test_a_recorded_use_passes_the_limit():
    organization = limited(ai_queries=5)

    decision = enforcement.record(organization, QUERIES, 7, idempotency_key="done")

    assert decision.allowed
    assert (decision.used, decision.remaining, decision.overage) == (7, 0, 2)


def test_a_soft_limit_counts_each_unit_beyond_it_once():
    organization = limited(ai_queries={"amount": 10, "hard": False, "overage": "bill"})

    overages = [
        consume(organization, QUERIES, 6, key=f"call-{number}").overage for number in range(3)
    ]

    assert overages == [0, 2, 8]


def test_a_cap_stops_a_soft_limit():
    organization = limited(
        ai_queries={"amount": 10, "hard": False, "overage": "bill", "overage_cap": 5}
    )
    consume(organization, QUERIES, 14, key="first")

    refused = consume(organization, QUERIES, 2, key="second")
    admitted = consume(organization, QUERIES, 1, key="third")

    assert not refused.allowed
    assert admitted.allowed
    assert admitted.overage == 5


def test_after_a_lower_limit_only_later_use_is_overage():
    organization = limited(ai_queries={"amount": 100, "hard": False, "overage": "bill"})
    consume(organization, QUERIES, 80, key="before")
    limit_of(organization, QUERIES, amount=50, hard=False, overage="bill")

    decision = consume(organization, QUERIES, 5, key="after")

    assert decision.overage == 5


def test_a_lower_hard_limit_denies_until_below_it():
    organization = limited(storage=100)
    consume(organization, amount=80, key="before")
    limit_of(organization, STORAGE, amount=50)

    refused = consume(organization, amount=1, key="after")
    enforcement.release_amount(organization, STORAGE, 31)
    admitted = consume(organization, amount=1, key="then")

    assert not refused.allowed
    assert admitted.allowed


def test_a_higher_limit_counts_at_once_and_keeps_what_was_used():
    organization = limited(storage=10)
    consume(organization, amount=10, key="full")
    limit_of(organization, STORAGE, amount=20)

    decision = consume(organization, amount=10, key="more")

    assert decision.allowed
    assert decision.used == 20


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"access": "read_only"}, Reason.ACCOUNT_LOCKED),
        ({"access": "restricted"}, Reason.PAYMENT_REQUIRED),
    ],
)
def test_access_refuses_whatever_is_left(fields, reason):
    organization = limited(storage=100)
    change_head(organization, **fields)

    decision = consume(organization)

    assert not decision.allowed
    assert decision.reason == reason


def test_a_locked_organization_may_release_and_be_recorded():
    organization = limited(storage=100)
    consume(organization, amount=10, key="kept")
    change_head(organization, access="read_only")

    released = enforcement.release(organization, idempotency_key="kept")
    recorded = enforcement.record(organization, STORAGE, 3, idempotency_key="late")

    assert released.allowed
    assert recorded.used == 3


def test_a_meter_the_plan_lacks_is_unavailable():
    organization = limited(storage={"amount": 0, "refusal": "feature_unavailable"})

    decision = consume(organization)

    assert decision.reason == Reason.FEATURE_UNAVAILABLE


def test_observe_decides_and_reports_but_admits():
    organization = limited(storage={"amount": 5, "enforcement": "observe"})

    decision = consume(organization, amount=6)

    assert decision.allowed
    assert decision.reason == Reason.QUOTA_EXCEEDED
    assert decision.used == 6


def test_disabled_enforcement_counts_without_deciding():
    organization = limited(storage={"amount": 5, "enforcement": "disabled"})

    decision = consume(organization, amount=6)

    assert decision.allowed
    assert decision.reason is None
    assert decision.used == 6


def test_a_ceiling_is_a_maximum_per_request_and_sums_nothing():
    organization = limited(storage={"amount": 4, "kind": "ceiling"})

    decisions = [consume(organization, amount=4, key=key) for key in ("a", "b")]
    refused = consume(organization, amount=5, key="c")

    assert all(decision.allowed for decision in decisions)
    assert not refused.allowed
    assert refused.used == 0


def test_members_have_limits_of_their_own_where_the_plan_says_so():
    organization = limited(ai_queries={"amount": 5, "per_member": True})
    consume(organization, QUERIES, 5, key="a", member="anh")

    other = consume(organization, QUERIES, 5, key="b", member="bao")
    refused = consume(organization, QUERIES, 1, key="c", member="anh")

    assert other.allowed
    assert not refused.allowed


def test_a_limit_per_member_asks_for_the_member():
    organization = limited(ai_queries={"amount": 5, "per_member": True})

    with pytest.raises(InvalidRequest, match="member"):
        consume(organization, QUERIES)


def test_members_share_a_limit_per_organization():
    organization = limited(ai_queries=5)
    consume(organization, QUERIES, 3, key="a", member="anh")

    decision = consume(organization, QUERIES, 3, key="b", member="bao")

    assert not decision.allowed
    assert decision.used == 3


def test_late_use_belongs_to_its_own_period():
    organization = limited(ai_queries=5)
    limit = limit_of(organization, QUERIES, amount=5)
    before = limit.period_start - timedelta(seconds=1)

    late = enforcement.record(organization, QUERIES, 4, idempotency_key="late", occurred_at=before)
    now = consume(organization, QUERIES, 5, key="now")

    assert late.late
    assert late.used == 4
    assert now.allowed
    assert now.used == 5


@pytest.mark.parametrize("offset", [-timedelta(days=36), timedelta(minutes=6)])
def test_use_outside_the_retained_window_is_refused(offset):
    organization = limited(ai_queries=5)

    with pytest.raises(InvalidRequest):
        enforcement.record(
            organization, QUERIES, 1, idempotency_key="x", occurred_at=timezone.now() + offset
        )

    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize(
    "amount",
    [
        0,
        -1,
        True,
        "3",
        1.0,
        5.5,
        float("nan"),
        float("inf"),
        10**15 + 1,
        10**30,
        None,
        "٣",
        "1_000",
    ],
)
def test_an_amount_is_a_whole_number_in_range(amount):
    organization = limited(storage=None)

    with pytest.raises(InvalidRequest) as refused:
        consume(organization, amount=amount)

    assert refused.value.extra["field"] == "amount"


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "\x00", "~level:x", "\ud800", 5, None])
def test_a_key_is_short_printable_text(key):
    organization = limited(storage=None)

    with pytest.raises(InvalidRequest) as refused:
        consume(organization, key=key)

    assert refused.value.extra["field"] == "idempotency_key"


@pytest.mark.parametrize(
    "key", ['quo"te', "back\\slash", "{brace,comma}", "null", "ключ ключ", "NULL"]
)
def test_a_key_of_awkward_characters_is_stored_as_it_is(key):
    organization = limited(storage=None)

    consume(organization, key=key)

    assert events_of(organization).get().key == key


def test_who_may_not_have_it_anyway_is_told_so_before_the_range_is():
    organization = limited(storage=100)
    consume(organization, amount=5, key="first")

    decision = consume(organization, amount=10**15, key="all")

    assert (decision.allowed, decision.reason) == (False, "quota_exceeded")


def test_a_sum_beyond_the_largest_amount_is_refused():
    organization = limited(storage=None)
    consume(organization, amount=10**15, key="all")

    with pytest.raises(InvalidRequest, match="10\\^15"):
        enforcement.record(organization, STORAGE, 1, idempotency_key="more")

    assert UsageEvent.objects.quantity() == 10**15


def test_an_unknown_meter_is_named():
    organization = limited(storage=5)

    with pytest.raises(UnknownMeter, match="quarks"):
        consume(organization, "quarks")


def test_rows_cannot_be_consumed():
    organization = limited(storage=5)

    with pytest.raises(UnknownMeter, match="members"):
        consume(organization, "members")


def test_only_declared_dimensions_enter_the_ledger():
    organization = limited(ai_queries=5)

    consume(organization, QUERIES, key="good", dimensions={"model": 'gpt "x"'})
    with pytest.raises(InvalidRequest, match="prompt"):
        consume(organization, QUERIES, key="bad", dimensions={"prompt": "secret"})

    assert events_of(organization).get().dimensions == {"model": 'gpt "x"'}


def test_the_last_microsecond_of_a_period_is_its_own_and_its_end_the_next_ones():
    """C12: the instant is PostgreSQL's, read under the head's lock, whoever asks and whenever."""
    organization = limited(ai_queries=10)
    end = limit_of(organization, QUERIES, amount=10).period_end
    change_head(organization, frozen_at=end - timedelta(microseconds=1))
    full = consume(organization, QUERIES, 10, key="last")
    beyond = consume(organization, QUERIES, 1, key="too late for it")

    change_head(organization, frozen_at=end)
    first = consume(organization, QUERIES, 1, key="first")

    assert [full.allowed, beyond.allowed, first.allowed] == [True, False, True]
    rows = {event.key: (event.period_start, event.period_end) for event in events_of(organization)}
    assert rows["last"][1] == rows["first"][0] == end
    assert sorted(balance.used for balance in Balance.objects.all()) == [1, 10]


def test_a_clock_that_jumps_back_grants_nothing_twice():
    organization = limited(ai_queries=10)
    end = limit_of(organization, QUERIES, amount=10).period_end
    change_head(organization, frozen_at=end + timedelta(seconds=1))
    before = consume(organization, QUERIES, 10, key="of the new period")

    change_head(organization, frozen_at=end - timedelta(seconds=1))
    consume(organization, QUERIES, 10, key="of the former period")
    refused = consume(organization, QUERIES, 1, key="beyond it")
    change_head(organization, frozen_at=end + timedelta(seconds=2))
    after = consume(organization, QUERIES, 1, key="of the new period again")

    assert before.allowed
    assert (refused.allowed, after.allowed) == (False, False)
    assert [balance.used for balance in Balance.objects.all()] == [10, 10]
    assert all(row.period_start < row.period_end for row in events_of(organization))
