"""Group commit: durable answers, busy organizations, lost connections, forks."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection, connections, transaction

from quotas.engine import enforcement, lane, reader, session, writer
from quotas.engine.asking import use
from quotas.engine.decisions import Line
from quotas.engine.lane import Call, Lane
from quotas.engine.session import Session, UnsafeDurability
from quotas.exceptions import Busy, EngineUnavailable, OutcomeUnknown
from quotas.models import Balance, QuotaHead, UsageEvent, Verb
from tests.factories.quotas import limited

pytestmark = pytest.mark.usefixtures("durable")

STORAGE = "storage"
# What PostgreSQL answers when it cannot extend a file, asked for at the ledger's own insert.
FULL_DISK = """
CREATE FUNCTION a_full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER a_full_disk BEFORE INSERT ON usage_event FOR EACH ROW EXECUTE FUNCTION a_full_disk()
"""


def consume(organization, amount=1, key="k"):
    return enforcement.consume(organization, STORAGE, amount, idempotency_key=key)


def in_threads(work, items, threads=16):
    def closing(item):
        try:
            return work(item)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(closing, items))


def elsewhere():
    """A connection that is not the test's."""
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory", None)
    parameters.pop("context", None)
    return psycopg.connect(**parameters)


def test_an_answer_is_durable_before_it_is_given():
    organization = limited(storage=100)

    consume(organization, 7)

    with elsewhere() as other:
        (used,) = other.execute("SELECT used FROM plan_usage").fetchone()
    assert used == 7


def test_many_threads_at_a_limit_admit_exactly_the_limit():
    organization = limited(storage=50)

    answers = in_threads(lambda n: consume(organization, 1, f"key-{n}"), range(120))

    assert sum(answer.allowed for answer in answers) == 50
    assert Balance.objects.get().used == 50


def test_the_same_key_at_once_has_one_effect():
    organization = limited(storage=50)

    answers = in_threads(lambda _n: consume(organization, 5, "one"), range(16))

    assert {answer.used for answer in answers} == {5}
    assert sum(not answer.replayed for answer in answers) == 1
    assert Balance.objects.get().used == 5


def test_a_busy_organization_does_not_hold_up_the_others():
    held, free = limited(storage=100), limited(storage=100)

    with elsewhere() as other:
        other.execute("SELECT 1 FROM quota_head WHERE organization_id = %s FOR UPDATE", [held.pk])
        waiting = threading.Thread(target=lambda: consume(held, 1, "held"))
        waiting.start()
        began = time.monotonic()
        for n in range(5):
            consume(free, 1, f"free-{n}")
        took = time.monotonic() - began
        assert waiting.is_alive()
        other.rollback()
    waiting.join()

    assert took < 1
    assert Balance.objects.get(organization=held).used == 1


def test_an_organization_that_stays_busy_is_answered_busy_and_nothing_is_applied(monkeypatch):
    organization = limited(storage=100)
    monkeypatch.setattr(writer, "LONGEST_LOCK_WAIT_SECONDS", 0.2)

    with elsewhere() as other:
        other.execute("SELECT 1 FROM quota_head FOR UPDATE")
        with pytest.raises(Busy) as refused:
            consume(organization)
        other.rollback()

    assert refused.value.headers["Retry-After"] == "1"
    assert not UsageEvent.objects.exists()


def test_a_lost_connection_is_survived_without_counting_twice():
    organization = limited(storage=100)
    consume(organization, 1, "before")
    with elsewhere() as other:
        other.autocommit = True
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ledgerline-writer'"
        )

    answers = in_threads(lambda n: consume(organization, 1, f"after-{n}"), range(20))

    assert all(answer.allowed for answer in answers)
    assert Balance.objects.get().used == 21


def test_a_full_disk_refuses_and_leaves_no_trace(durable):
    organization = limited(storage=100)
    consume(organization, 1, "before")
    with connection.cursor() as cursor:
        cursor.execute(FULL_DISK)
        try:
            with pytest.raises(EngineUnavailable):
                consume(organization, 1, "meanwhile")
        finally:
            cursor.execute("DROP FUNCTION a_full_disk CASCADE")

    assert Balance.objects.get().used == 1
    assert consume(organization, 1, "meanwhile").allowed
    assert Balance.objects.get().used == 2


def test_a_reader_that_lost_its_connection_while_idle_reads_on_another(durable):
    organization = limited(storage=100)
    place = (organization.pk, STORAGE, "")
    reader.read_place(place)
    with elsewhere() as other:
        other.autocommit = True
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ledgerline-reader'"
        )

    assert reader.read_place(place).reading.remaining == 100


def test_a_request_that_cannot_be_applied_does_not_fail_its_neighbours():
    organization = limited(storage=100)
    good = [use(Verb.CONSUME, organization.pk, [Line(STORAGE, 1)], f"good-{n}") for n in range(5)]
    bad = good[0]._replace(key="bad", dimensions="this is no JSON")

    calls: list[writer.Waiting] = [Call([request]) for request in [*good[:3], bad, *good[3:]]]
    session = Session("test")
    writer._write(session, calls)
    session.close()

    errors = [call.error for call in calls]
    assert isinstance(errors[3], psycopg.Error)
    assert [error for at, error in enumerate(errors) if at != 3] == [None] * 5
    assert Balance.objects.get().used == 5


def test_the_writer_refuses_to_be_waited_for_inside_a_transaction():
    organization = limited(storage=100)
    request = use(Verb.CONSUME, organization.pk, [Line(STORAGE, 1)], "k")

    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        writer.submit([request])


def test_inside_a_transaction_a_consume_is_true_only_when_it_commits():
    organization = limited(storage=100)

    with transaction.atomic():
        answer = consume(organization, 60, "undone")
        transaction.set_rollback(True)

    assert answer.used == 60
    assert not Balance.objects.filter(used__gt=0).exists()
    assert consume(organization, 100, "whole").allowed


def test_a_full_queue_refuses_at_once():
    blocked = threading.Event()

    def wait(_session, _calls):
        blocked.wait(5)

    small: Lane[str, None] = Lane("small", wait, most_waiting=2)
    small.put(Call("first"))
    time.sleep(0.05)
    for _ in range(2):
        small.put(Call("next"))

    with pytest.raises(Busy):
        small.put(Call("too many"))

    blocked.set()


def test_a_caller_that_gives_up_before_the_start_is_dropped():
    call = Call("asked")

    with pytest.raises(Busy):
        call.wait(0.01)

    assert not call.start()


def test_a_caller_that_gives_up_after_the_start_knows_nothing():
    call = Call("asked")
    call.start()

    with pytest.raises(OutcomeUnknown):
        call.wait(0.01)


def test_a_lane_survives_a_handler_that_fails():
    answers = iter([RuntimeError("once"), None])

    def handle(_session, calls):
        error = next(answers)
        if error:
            raise error
        for call in calls:
            call.finish("done")

    shaky = Lane("shaky", handle)
    with pytest.raises(RuntimeError, match="once"):
        shaky.ask("first")

    assert shaky.ask("second") == "done"
    shaky.stop()


def test_a_forked_child_has_a_writer_of_its_own():
    organization = limited(storage=100)
    consume(organization, 1, "parent")

    child = os.fork()
    if child == 0:
        try:
            connections["default"].connection = None
            consume(organization, 2, "child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    after = consume(organization, 4, "parent-again")

    assert after.used == 7


def test_a_session_refuses_asynchronous_commit(monkeypatch):
    database = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
    try:
        with pytest.raises(UnsafeDurability):
            Session("careless").run(lambda cursor: cursor.execute("SELECT 1"))
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{database}" RESET synchronous_commit')


def test_sequences_grow_by_one_per_recorded_line():
    organization = limited(storage=100)
    before = QuotaHead.objects.get().sequence

    in_threads(lambda n: consume(organization, 1, f"k{n}"), range(30))

    sequences = list(UsageEvent.objects.order_by("sequence").values_list("sequence", flat=True))
    assert sequences == list(range(before + 1, before + 31))


def test_stopping_answers_what_is_waiting():
    organization = limited(storage=100)

    consume(organization, 1, "a")
    lane.stop_all()

    assert consume(organization, 1, "b").used == 2


def test_a_server_that_only_reads_admits_nothing(monkeypatch):
    organization = limited(storage=100)
    lane.stop_all()
    replica = session._SETTINGS + "; SET default_transaction_read_only = on"
    monkeypatch.setattr(session, "_SETTINGS", replica)

    with pytest.raises(EngineUnavailable):
        consume(organization)

    lane.stop_all()
    assert not UsageEvent.objects.exists()
