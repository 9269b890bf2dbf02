"""Readings: from this process, from Redis, from PostgreSQL; and what bad ones may do."""

import random
import time
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from orgs.exceptions import DomainError
from quotas.engine import counters, enforcement, limits, reader, refresh
from quotas.engine.readings import Reading
from tests.factories.quotas import CreditFactory, change_head, limit_of, limited

pytestmark = pytest.mark.usefixtures("durable")

STORAGE = "storage"
QUERIES = "ai_queries"


def consume(organization, amount=1, key="k", meter=STORAGE):
    return enforcement.consume(organization, meter, amount, idempotency_key=key)


def place(organization, meter=STORAGE, member=""):
    return (organization.pk, meter, member)


def found(organization) -> Reading:
    """The reading that Redis or this process holds."""
    reading = counters.find(place(organization))
    assert reading is not None
    return reading


@pytest.fixture
def queries(monkeypatch):
    """Counts how often PostgreSQL is asked for a reading."""
    asked = []

    def counted(where):
        asked.append(where)
        return reader.read_place(where)

    monkeypatch.setattr(enforcement, "read_place", counted)
    return asked


def test_a_check_counts_nothing():
    organization = limited(storage=10)

    for _ in range(3):
        enforcement.check(organization, STORAGE, 9)

    assert enforcement.check(organization, STORAGE, 10).allowed


def test_a_second_check_asks_nobody(queries):
    organization = limited(storage=10)
    enforcement.check(organization, STORAGE)

    enforcement.check(organization, STORAGE)

    assert len(queries) == 1


def test_another_process_finds_the_reading_in_redis(queries):
    organization = limited(storage=10)
    enforcement.check(organization, STORAGE)
    refresh.flush()
    counters.forget_locally()

    decision = enforcement.check(organization, STORAGE)

    assert decision.allowed
    assert len(queries) == 1


def test_a_consume_is_seen_by_the_next_check_of_this_process():
    organization = limited(storage=10)
    enforcement.check(organization, STORAGE)

    consume(organization, 7)

    assert enforcement.check(organization, STORAGE).remaining == 3


def test_a_consume_is_seen_by_other_processes_soon():
    organization = limited(storage=10)
    enforcement.check(organization, STORAGE)
    consume(organization, 7)
    refresh.flush()
    counters.forget_locally()

    reading = counters.find(place(organization))

    assert reading.used == 7


def test_a_consume_nobody_checked_before_is_in_redis_too():
    organization = limited(storage=10)

    consume(organization, 7)
    refresh.flush()
    counters.forget_locally()

    assert counters.find(place(organization)).used == 7


def test_members_have_readings_of_their_own():
    organization = limited(ai_queries={"amount": 5, "per_member": True})
    enforcement.consume(organization, QUERIES, 4, idempotency_key="a", member="anh")
    for member in ("anh", "bao"):
        enforcement.check(organization, QUERIES, member=member)
    refresh.flush()
    counters.forget_locally()

    remaining = [
        enforcement.check(organization, QUERIES, member=member).remaining
        for member in ("anh", "bao")
    ]

    assert remaining == [1, 5]


def test_credits_that_one_member_burns_are_gone_for_the_others_too():
    organization = limited(ai_queries={"amount": 5, "per_member": True})
    CreditFactory.create(organization=organization, amount=10)
    ask = partial(enforcement.check, organization, "ai_queries", 1)
    assert ask(member="bao").remaining == 15

    enforcement.consume(organization, "ai_queries", 9, idempotency_key="k", member="anh")

    assert ask(member="bao").remaining == 11
    refresh.flush()
    counters.forget_locally()
    assert ask(member="bao").remaining == 11


def test_an_older_reading_cannot_replace_a_newer_one():
    organization = limited(storage=10)
    enforcement.check(organization, STORAGE)
    old = found(organization)
    consume(organization, 7)
    refresh.flush()

    counters.store({place(organization): old})
    counters.forget_locally()

    assert counters.find(place(organization)).used == 7


def test_after_a_change_of_limits_readings_on_the_way_are_void():
    organization = limited(storage=10)
    enforcement.check(organization, STORAGE)
    old = found(organization)

    counters.forget(organization.pk, old.sequence + 1)
    counters.store({place(organization): old})

    assert counters.find(place(organization)) is None


def test_word_of_burned_credits_that_comes_late_revives_no_void_reading():
    organization = limited(storage=100)
    enforcement.check(organization, STORAGE)
    reading = found(organization)
    counters.forget(organization.pk, reading.sequence + 2)

    counters.outdate(organization.pk, reading.sequence)
    counters.keep(place(organization), reading)

    assert counters.at_hand(place(organization)) is None


def test_a_reading_expires_with_the_verdict_it_rests_on():
    organization = limited(storage=10)
    change_head(organization, valid_until=timezone.now() + timedelta(seconds=0.3))
    enforcement.check(organization, STORAGE)

    time.sleep(0.35)

    assert counters.find(place(organization)) is None


def test_a_reading_expires_with_its_period():
    organization = limited(ai_queries=10)
    limit = limit_of(organization, QUERIES, amount=10)
    change_head(organization, frozen_at=limit.period_end - timedelta(microseconds=1))
    consume(organization, 10, meter=QUERIES)
    before = enforcement.check(organization, QUERIES)
    limits.void_readings(organization.pk, frozen_at=limit.period_end)

    after = enforcement.check(organization, QUERIES)

    assert (before.remaining, after.remaining) == (0, 10)


def test_a_flush_of_redis_loses_nothing(durable):
    organization = limited(storage=10)
    consume(organization, 7)

    durable.flushall()
    counters.forget_locally()

    assert enforcement.check(organization, STORAGE).remaining == 3


def test_redis_away_is_answered_from_postgresql(monkeypatch):
    organization = limited(storage=10)
    consume(organization, 7)
    counters.forget_locally()

    def away():
        raise RedisConnectionError("away")

    monkeypatch.setattr(counters, "client", away)

    assert enforcement.check(organization, STORAGE).remaining == 3
    assert consume(organization, 3, "then").allowed


def test_random_bytes_in_redis_admit_no_consume_and_break_no_check(durable):
    organization = limited(storage=10)
    consume(organization, 10)
    refresh.flush()
    dice = random.Random(7)  # noqa: S311  the same junk in every run

    for _ in range(40):
        key = f"quota:{{{organization.pk}}}"
        junk = dice.randbytes(dice.randint(0, 60))
        if dice.random() < 0.5:
            durable.delete(key)
            durable.set(key, junk)
        else:
            durable.delete(key)
            durable.hset(key, f"{STORAGE}|", dice.choice([junk, b"5|" + junk, b"9|[1]", b"9|{}"]))
            durable.hset(key, "!", junk)
        counters.forget_locally()
        assert not enforcement.check(organization, STORAGE).allowed

    assert not consume(organization, 1, "more").allowed


def test_a_reading_that_lies_admits_no_consume_and_no_authorize():
    organization = limited(storage=10)
    consume(organization, 10)
    enforcement.check(organization, STORAGE)
    lie = found(organization).after(used=0, sequence=10**12)
    refresh.flush()
    counters.store({place(organization): lie})
    counters.forget_locally()

    misled = enforcement.check(organization, STORAGE)

    assert misled.allowed
    assert not consume(organization, 1, "more").allowed
    with pytest.raises(DomainError):
        enforcement.authorize(organization, STORAGE)


def test_what_is_stored_is_what_was_read():
    organization = limited(ai_queries={"amount": 10, "hard": False, "overage_cap": 3})
    change_head(organization, valid_until=timezone.now() + timedelta(days=1))

    reading = enforcement.reading_of(organization.pk, QUERIES)

    assert Reading.from_json(reading.to_json()) == reading


def test_a_failure_of_redis_rests_for_a_moment(monkeypatch):
    organization = limited(storage=10)
    calls = []

    def away():
        calls.append(1)
        raise RedisConnectionError("away")

    monkeypatch.setattr(counters, "client", away)
    for _ in range(5):
        counters.find(place(organization))

    assert len(calls) == 1


def test_the_clock_is_postgresqls(monkeypatch):
    organization = limited(storage=10)
    monkeypatch.setattr(time, "time", lambda: 0.0)

    decision = enforcement.check(organization, STORAGE)

    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert abs(now - decision.at) < timedelta(seconds=2)
