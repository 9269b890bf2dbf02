"""Release, levels, reservations and credits."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from quotas.engine import enforcement
from quotas.engine.asking import reservation_id
from quotas.engine.decisions import Line
from quotas.exceptions import (
    IdempotencyConflict,
    InvalidRequest,
    KeyGone,
    NothingToRelease,
    ReleaseExceedsUsage,
    ReservationEnded,
    ReservationNotFound,
    StaleObservation,
    UnknownMeter,
)
from quotas.models import Balance, Credit, Reservation, UsageEvent
from tests.factories.quotas import CreditFactory, change_head, events_of, limit_of, limited

pytestmark = pytest.mark.django_db

STORAGE = "storage"
QUERIES = "ai_queries"


def consume(organization, meter=STORAGE, amount=1, key="k", **details):
    return enforcement.consume(organization, meter, amount, idempotency_key=key, **details)


def reserve(organization, meter=QUERIES, amount=1, key="hold", **details):
    return enforcement.reserve(organization, meter, amount, idempotency_key=key, **details)


def test_a_release_by_key_gives_back_what_the_consume_took():
    organization = limited(storage=100)
    consume(organization, amount=60, key="upload")

    answer = enforcement.release(organization, idempotency_key="upload")

    assert (answer.lines[0].used, answer.lines[0].remaining) == (0, 100)
    assert UsageEvent.objects.quantity() == 0


def test_a_release_by_key_happens_once():
    organization = limited(storage=100)
    consume(organization, amount=60, key="a")
    consume(organization, amount=10, key="b")
    first = enforcement.release(organization, idempotency_key="a")

    again = enforcement.release(organization, idempotency_key="a")

    assert again.lines[0].replayed
    assert again.lines[0].event_id == first.lines[0].event_id
    assert Balance.objects.get().used == 10


def test_a_release_by_key_covers_every_meter_of_the_request():
    organization = limited(storage=100, ai_queries=5)
    lines = [Line(STORAGE, 60), Line(QUERIES, 2)]
    enforcement.consume_all(organization, lines, idempotency_key="both")

    answer = enforcement.release(organization, idempotency_key="both")

    assert [line.used for line in answer.lines] == [0, 0]
    assert [line.meter for line in answer.lines] == [STORAGE, QUERIES]


def test_a_release_by_the_key_of_a_refusal_gives_nothing_back():
    organization = limited(storage=10)
    consume(organization, amount=5, key="kept")
    consume(organization, amount=11, key="refused")

    with pytest.raises(NothingToRelease):
        enforcement.release(organization, idempotency_key="refused")

    assert Balance.objects.get().used == 5


def test_a_release_by_a_key_of_another_organization_finds_nothing():
    organization, stranger = limited(storage=100), limited(storage=100)
    consume(organization, amount=60, key="upload")

    with pytest.raises(KeyGone):
        enforcement.release(stranger, idempotency_key="upload")

    assert Balance.objects.get().used == 60


def test_a_release_by_amount_never_goes_below_zero():
    organization = limited(storage=100)
    consume(organization, amount=5)

    refused = enforcement.release_amount(organization, STORAGE, 6)

    assert not refused.allowed
    assert refused.used == 5
    with pytest.raises(ReleaseExceedsUsage):
        refused.or_raise()


def test_a_release_by_key_never_goes_below_zero():
    organization = limited(storage=100)
    consume(organization, amount=5, key="upload")
    enforcement.set_level(organization, STORAGE, 2, observed_at=timezone.now())

    with pytest.raises(ReleaseExceedsUsage):
        enforcement.release(organization, idempotency_key="upload")

    assert Balance.objects.get().used == 2


def test_a_release_by_amount_with_a_key_happens_once():
    organization = limited(storage=100)
    consume(organization, amount=50)

    answers = [
        enforcement.release_amount(organization, STORAGE, 20, idempotency_key="delete")
        for _ in range(2)
    ]

    assert [answer.used for answer in answers] == [30, 30]
    assert Balance.objects.get().used == 30


def test_only_levels_are_released_by_amount():
    organization = limited(ai_queries=5)

    with pytest.raises(UnknownMeter, match="level"):
        enforcement.release_amount(organization, QUERIES, 1)


def test_a_released_flow_returns_to_the_period_it_was_used_in():
    organization = limited(ai_queries=5)
    limit = limit_of(organization, QUERIES, amount=5)
    earlier = limit.period_start - timedelta(days=1)
    enforcement.record(organization, QUERIES, 4, idempotency_key="late", occurred_at=earlier)
    consume(organization, QUERIES, 3, key="now")

    enforcement.release(organization, idempotency_key="late")

    assert sorted(Balance.objects.values_list("used", flat=True)) == [0, 3]


def test_a_level_is_set_to_what_its_keeper_counted():
    organization = limited(storage=100)
    consume(organization, amount=60)

    decision = enforcement.set_level(organization, STORAGE, 42, observed_at=timezone.now())

    assert decision.used == 42
    assert UsageEvent.objects.quantity() == 42


def test_an_older_observation_is_refused():
    organization = limited(storage=100)
    now = timezone.now()
    enforcement.set_level(organization, STORAGE, 42, observed_at=now)

    with pytest.raises(StaleObservation):
        enforcement.set_level(organization, STORAGE, 7, observed_at=now - timedelta(seconds=1))

    assert Balance.objects.get().used == 42


def test_one_observation_has_one_value():
    organization = limited(storage=100)
    now = timezone.now()
    enforcement.set_level(organization, STORAGE, 42, observed_at=now)

    again = enforcement.set_level(organization, STORAGE, 42, observed_at=now)
    with pytest.raises(StaleObservation):
        enforcement.set_level(organization, STORAGE, 43, observed_at=now)

    assert again.replayed


def test_a_repeated_observation_is_stale_once_a_later_one_came():
    organization = limited(storage=100)
    now = timezone.now()
    earlier = now - timedelta(seconds=1)
    enforcement.set_level(organization, STORAGE, 7, observed_at=earlier)
    enforcement.set_level(organization, STORAGE, 42, observed_at=now)

    with pytest.raises(StaleObservation):
        enforcement.set_level(organization, STORAGE, 7, observed_at=earlier)

    assert Balance.objects.get().used == 42


def test_a_level_may_be_above_its_limit_and_then_admits_nothing():
    organization = limited(storage=100)

    reported = enforcement.set_level(organization, STORAGE, 120, observed_at=timezone.now())
    refused = consume(organization)

    assert reported.allowed
    assert reported.overage == 20
    assert not refused.allowed


def test_a_level_does_not_reset():
    organization = limited(storage=100)

    decision = consume(organization)

    assert decision.resets_at is None


def test_a_hold_takes_room_until_it_ends():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8)

    refused = consume(organization, QUERIES, 3, key="a")
    enforcement.void(hold.id)
    admitted = consume(organization, QUERIES, 3, key="b")

    assert (refused.allowed, refused.held, refused.remaining) == (False, 8, 2)
    assert (admitted.allowed, admitted.held) == (True, 0)


def test_a_commit_counts_what_was_used_and_frees_the_rest():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8)

    decision = enforcement.commit(hold.id, 5)

    assert (decision.used, decision.held, decision.remaining) == (5, 0, 5)
    assert UsageEvent.objects.quantity() == 5


def test_a_hold_is_not_made_beyond_the_limit():
    organization = limited(ai_queries=10)

    hold = reserve(organization, amount=11)

    assert hold.id is None
    assert not Reservation.objects.exists()


def test_the_same_key_finds_the_same_hold():
    organization = limited(ai_queries=10)
    first = reserve(organization, amount=4)

    again = reserve(organization, amount=4)

    assert again.id == first.id
    assert Balance.objects.get().held == 4


def test_a_commit_is_repeatable_and_final():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8)
    enforcement.commit(hold.id, 5)

    again = enforcement.commit(hold.id, 5)
    with pytest.raises(IdempotencyConflict):
        enforcement.commit(hold.id, 6)
    with pytest.raises(ReservationEnded):
        enforcement.void(hold.id)

    assert again.replayed
    assert Balance.objects.get().used == 5


def test_a_void_is_repeatable_and_final():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8)
    enforcement.void(hold.id)

    again = enforcement.void(hold.id)
    with pytest.raises(ReservationEnded):
        enforcement.commit(hold.id, 5)

    assert again.replayed
    assert Balance.objects.get().used == 0


def test_no_more_is_committed_than_was_held():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=3)

    with pytest.raises(InvalidRequest, match="reserved"):
        enforcement.commit(hold.id, 4)

    assert Reservation.objects.get().state == "open"


def test_an_expired_hold_frees_its_room_by_itself():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8, expires_in=60)
    change_head(organization, frozen_at=timezone.now() + timedelta(seconds=61))

    decision = consume(organization, QUERIES, 3)

    assert decision.allowed
    assert Reservation.objects.get().state == "expired"
    with pytest.raises(ReservationEnded):
        enforcement.commit(hold.id, 5)


def test_a_commit_at_the_instant_of_expiry_is_too_late():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8, expires_in=60)
    change_head(organization, frozen_at=Reservation.objects.get().expires_at)

    with pytest.raises(ReservationEnded):
        enforcement.commit(hold.id, 5)

    assert Balance.objects.get().held == 0


def test_a_check_sees_an_expired_hold_as_free():
    organization = limited(ai_queries=10)
    reserve(organization, amount=8, expires_in=60)
    change_head(organization, frozen_at=timezone.now() + timedelta(seconds=61))

    decision = enforcement.check(organization, QUERIES)

    assert (decision.held, decision.remaining) == (0, 10)


@pytest.mark.parametrize("name", ["", "rsv_", "rsv_zz", "x" * 40, "rsv_" + "0" * 32 + "f" * 17])
def test_what_is_no_reservation_is_not_found(name):
    with pytest.raises(ReservationNotFound):
        enforcement.void(name)


def test_another_satellite_cannot_end_a_hold():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=8, satellite=7)

    with pytest.raises(ReservationNotFound):
        enforcement.void(hold.id)

    assert Balance.objects.get().held == 8


def test_an_unknown_number_is_not_found():
    organization = limited(ai_queries=10)

    with pytest.raises(ReservationNotFound):
        enforcement.commit(reservation_id(organization.pk, 99), 1)


def test_credits_are_burned_after_the_allowance():
    organization = limited(ai_queries=10)
    credit = CreditFactory.create(organization=organization, amount=5)

    within = consume(organization, QUERIES, 10, key="a")
    beyond = consume(organization, QUERIES, 3, key="b")

    credit.refresh_from_db()
    assert (within.remaining, beyond.remaining) == (5, 2)
    assert (beyond.overage, credit.remaining) == (0, 2)


def test_a_hard_limit_stops_when_the_credits_are_used():
    organization = limited(ai_queries=10)
    CreditFactory.create(organization=organization, amount=5)
    consume(organization, QUERIES, 15, key="all")

    decision = consume(organization, QUERIES, 1, key="more")

    assert not decision.allowed
    assert Credit.objects.get().remaining == 0


def test_the_credit_that_expires_soonest_is_burned_first():
    organization = limited(ai_queries=0)
    later = CreditFactory.create(organization=organization)
    soon = CreditFactory.create(
        organization=organization, expires_at=timezone.now() + timedelta(days=1)
    )

    consume(organization, QUERIES, 12)

    later.refresh_from_db()
    soon.refresh_from_db()
    assert (soon.remaining, later.remaining) == (0, 8)


def test_a_lower_priority_number_is_burned_before_an_earlier_expiry():
    organization = limited(ai_queries=0)
    first = CreditFactory.create(organization=organization, priority=1)
    soon = CreditFactory.create(
        organization=organization, expires_at=timezone.now() + timedelta(days=1)
    )

    consume(organization, QUERIES, 4)

    first.refresh_from_db()
    soon.refresh_from_db()
    assert (first.remaining, soon.remaining) == (6, 10)


def test_an_expired_credit_pays_nothing():
    organization = limited(ai_queries=0)
    CreditFactory.create(
        organization=organization, expires_at=timezone.now() - timedelta(seconds=1)
    )

    assert not consume(organization, QUERIES).allowed


def test_a_refused_group_gives_its_credits_back():
    organization = limited(ai_queries=0, storage=1)
    CreditFactory.create(organization=organization)
    lines = [Line(QUERIES, 4), Line(STORAGE, 2)]

    answer = enforcement.consume_all(organization, lines, idempotency_key="both")

    assert not answer.allowed
    assert Credit.objects.get().remaining == 10


def test_a_release_gives_its_credits_back():
    organization = limited(ai_queries=3)
    CreditFactory.create(organization=organization)
    consume(organization, QUERIES, 7, key="call")

    answer = enforcement.release(organization, idempotency_key="call")

    assert answer.lines[0].remaining == 13
    assert Credit.objects.get().remaining == 10
    assert Balance.objects.get().credited == 0


def test_a_committed_hold_burns_credits():
    organization = limited(ai_queries=3)
    CreditFactory.create(organization=organization)
    hold = reserve(organization, amount=8)

    decision = enforcement.commit(hold.id, 8)

    assert Credit.objects.get().remaining == 5
    assert decision.overage == 0


def test_a_release_takes_back_its_overage():
    organization = limited(ai_queries={"amount": 10, "hard": False, "overage": "bill"})
    consume(organization, QUERIES, 10, key="included")
    consume(organization, QUERIES, 4, key="extra")

    answer = enforcement.release(organization, idempotency_key="extra")

    assert answer.lines[0].overage == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE usage_event SET delta = 0", "DELETE FROM usage_event"]
)
def test_the_ledger_is_append_only(statement):
    organization = limited(storage=100)
    consume(organization, amount=5)

    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert events_of(organization).get().delta == 5


def test_a_hold_ends_in_the_balance_that_held_it_after_the_limit_became_per_member():
    organization = limited(ai_queries=10)
    hold = reserve(organization, amount=4, member="anh")
    limit_of(organization, QUERIES, amount=10, per_member=True)

    decision = enforcement.commit(hold.id, 3)

    assert (decision.used, decision.held) == (3, 0)
    assert Balance.objects.get().member == ""


def test_a_release_finds_the_balance_of_its_consume_after_the_limit_became_per_member():
    organization = limited(ai_queries=10)
    consume(organization, QUERIES, 4, key="k", member="anh")
    limit_of(organization, QUERIES, amount=10, per_member=True)

    enforcement.release(organization, idempotency_key="k")

    assert Balance.objects.get().used == 0


def test_members_share_the_organizations_credits_within_one_request():
    organization = limited(ai_queries={"amount": 0, "per_member": True})
    CreditFactory.create(organization=organization, amount=10)
    lines = [Line(QUERIES, 6, "anh"), Line(QUERIES, 5, "bao")]

    refused = enforcement.consume_all(organization, lines, idempotency_key="eleven")
    lines[1] = Line(QUERIES, 4, "bao")
    admitted = enforcement.consume_all(organization, lines, idempotency_key="ten")

    assert not refused.allowed
    assert [line.remaining for line in refused.lines] == [10, 10]
    assert [line.remaining for line in admitted.lines] == [4, 0]
    assert Credit.objects.get().remaining == 0


def test_a_release_sees_an_expired_hold_as_free():
    organization = limited(ai_queries=10)
    consume(organization, QUERIES, 3, key="k")
    reserve(organization, amount=4, expires_in=60)
    change_head(organization, frozen_at=timezone.now() + timedelta(seconds=61))

    answer = enforcement.release(organization, idempotency_key="k")

    assert (answer.lines[0].held, answer.lines[0].remaining) == (0, 10)
