"""Many processes, sudden deaths and lost caches: what was admitted is what is counted."""

import multiprocessing
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection, connections

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.models import Grant
from quotas.engine import counters, enforcement
from quotas.models import Balance, UsageEvent
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import limited

pytestmark = [
    pytest.mark.usefixtures("durable"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

STORAGE, QUERIES = "storage", "ai_queries"
PROCESSES = 16
GB = 2**30
FORK = multiprocessing.get_context("fork")


def consume(organization_id, key, meter=STORAGE, amount=1):
    return enforcement.consume(organization_id, meter, amount, idempotency_key=key)


@contextmanager
def children(work, count):
    """Forked as a web server forks its workers: each gets a writer and connections of its own."""
    connections.close_all()
    started = [FORK.Process(target=_run, args=(work, number)) for number in range(count)]
    for child in started:
        child.start()
    try:
        yield started
    finally:
        for child in started:
            child.join(60)
            assert not child.is_alive()


def _run(work, number):
    connections["default"].connection = None
    work(number)


def ledger_sum(organization):
    return UsageEvent.objects.filter(organization=organization).quantity()


def contend(rounds):
    """Rounds of one organization each, with half as much room as the processes ask for."""
    organizations = [limited(storage=PROCESSES) for _ in range(rounds)]
    start = FORK.Barrier(PROCESSES)
    admitted = FORK.Array("q", rounds)

    def work(number):
        for at, organization in enumerate(organizations):
            start.wait()
            answers = [consume(organization.pk, f"{number}-{n}") for n in range(2)]
            with admitted.get_lock():
                admitted[at] += sum(answer.allowed for answer in answers)

    with children(work, PROCESSES):
        pass
    assert admitted[:] == [PROCESSES] * rounds
    for organization in organizations:
        assert Balance.objects.get(organization=organization).used == PROCESSES
        assert ledger_sum(organization) == PROCESSES


def test_sixteen_processes_admit_exactly_the_limit():
    contend(rounds=8)


@pytest.mark.verify
def test_sixteen_processes_admit_exactly_the_limit_in_fifty_rounds():
    contend(rounds=50)


def die_at_work(kills):
    """Processes are killed while they consume; what they were told is on their list."""
    organization = limited(storage=None)
    told, tell = FORK.Pipe(duplex=False)
    lock = FORK.Lock()
    dice = random.Random(5)  # noqa: S311  the same deaths in every run

    def work(_number):
        serial = f"{os.getpid()}-{time.monotonic_ns()}"
        n = 0
        while True:
            key = f"{serial}-{n}"
            consume(organization.pk, key)
            with lock:
                os.write(tell.fileno(), f"{key}\n".encode())
            n += 1

    acknowledged = []
    for _ in range(kills):
        with children(work, 2) as started:
            deadline = time.monotonic() + 0.3 + dice.random() / 2
            # A starved child is not killed before anything was acknowledged.
            while time.monotonic() < deadline or not acknowledged:
                assert time.monotonic() < deadline + 60
                if told.poll(0.01):
                    acknowledged += os.read(told.fileno(), 65_536).decode().split()
            with lock:  # a child that dies with the lock would leave it taken
                for child in started:
                    os.kill(child.pid, signal.SIGKILL)
    while told.poll(0.1):
        acknowledged += os.read(told.fileno(), 65_536).decode().split()

    kept = set(UsageEvent.objects.filter(accepted=True).values_list("key", flat=True))
    assert acknowledged
    assert set(acknowledged) <= kept
    assert Balance.objects.get().used == ledger_sum(organization) == len(kept)


def test_a_killed_process_leaves_nothing_that_it_acknowledged_uncounted():
    die_at_work(kills=3)


@pytest.mark.verify
def test_a_hundred_killed_processes_leave_nothing_uncounted():
    die_at_work(kills=50)


def under_load(disturb, seconds):
    """Two processes of four threads each consume at a limit, while `disturb` is repeated."""
    organization = limited(storage=300)
    stop = FORK.Event()
    admitted = FORK.Value("q", 0)

    def work(number):
        n = 0
        while not stop.is_set():
            enforcement.check(organization.pk, STORAGE)
            if consume(organization.pk, f"{number}-{n}").allowed:
                with admitted.get_lock():
                    admitted.value += 1
            n += 1

    with children(work, 3):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or not admitted.value:
            assert time.monotonic() < deadline + 60
            disturb(organization)
            time.sleep(0.02)
        stop.set()
    assert admitted.value == Balance.objects.get().used == ledger_sum(organization) <= 300


def test_seats_that_change_under_load_are_the_limit_of_every_admission(settings):
    """C20: 1 GB for each seat, in one pool; who gives seats up is refused until there is room."""
    settings.CATALOG = "sessions"
    apply(catalog.current(), None, {})
    organization = OrganizationFactory.create()
    given = Grant.objects.create(
        organization=organization, source="manual", plan_key="team", reason="x", seats=2
    )
    store.rederive(organization, cause="test")
    stop = threading.Event()

    def use(number):
        n = 0
        while not stop.is_set():
            consume(organization.pk, f"{number}-{n}", amount=GB // 10)
            n += 1
        connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        users = [pool.submit(use, number) for number in range(4)]
        for seats in (2, 5, 3, 6, 1):
            Grant.objects.filter(pk=given.pk).update(seats=seats)
            store.rederive(organization, cause="test")
            asked = decisions_of(organization)
            deadline = time.monotonic() + 60
            while decisions_of(organization) < asked + 20 and time.monotonic() < deadline:
                time.sleep(0.01)
        stop.set()
        assert [user.result() for user in users] == [None] * 4

    rows = list(UsageEvent.objects.order_by("sequence").values("accepted", "used", "allowance"))
    assert {row["allowance"] for row in rows} == {seats * GB for seats in (2, 5, 3, 6, 1)}
    assert all(row["used"] <= row["allowance"] for row in rows if row["accepted"])
    assert {row["accepted"] for row in rows if row["allowance"] == GB} == {False}
    assert Balance.objects.get().used == ledger_sum(organization)


def decisions_of(organization):
    return UsageEvent.objects.filter(organization=organization).count()


def test_a_flushed_or_poisoned_redis_admits_nothing():
    dice = random.Random(3)  # noqa: S311

    def disturb(organization):
        redis = counters.client()
        redis.flushall()
        key = f"quota:{{{organization.pk}}}"
        redis.hset(key, f"{STORAGE}|", dice.randbytes(30))
        redis.hset(key, "!", dice.randbytes(5))

    under_load(disturb, seconds=2)


def test_connections_that_postgresql_ends_lose_and_double_nothing():
    def disturb(_organization):
        parameters = connection.get_connection_params()
        for name in ("cursor_factory", "context"):
            parameters.pop(name, None)
        with psycopg.connect(**parameters, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ledgerline-writer' AND datname = current_database()"
            )
        time.sleep(0.2)

    under_load(disturb, seconds=2)
