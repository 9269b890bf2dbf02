"""Readings on a cluster of Redis: nodes die and slots move, while checks go on and none admits."""

import multiprocessing
import random
import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connections
from redis.crc import key_slot

from orgs.exceptions import DomainError
from quotas.engine import counters, enforcement, refresh
from quotas.exceptions import Busy, OutcomeUnknown
from quotas.models import UsageEvent
from tests import redis_cluster
from tests.factories.quotas import limited
from tests.redis_cluster import wait_for

pytestmark = [
    pytest.mark.usefixtures("durable"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

STORAGE = "storage"
SLOWEST = "slowest check, ms"
FORK = multiprocessing.get_context("fork")
# A copy is believed for a second. What a frozen node holds is as much older as it was frozen, and
# forgotten within two seconds. The rest is for a machine that has other work.
STALE_SECONDS = 15


@pytest.fixture
def patient(monkeypatch):
    """A busy machine is no outage: what a node could not be told in time would be forgotten, which
    is a miss, and here a miss must mean something else."""
    monkeypatch.setattr(counters, "TIMEOUT_SECONDS", 20.0)


@pytest.fixture
def nodes(tmp_path, settings):
    with redis_cluster.running(tmp_path) as nodes:
        settings.REDIS_URL = nodes.url
        yield nodes
        refresh.stop()


def slot_of(organization):
    return key_slot(counters._key(organization.pk).encode())


def stored_on(node, organizations):
    keys = set(node.redis.keys())
    return [o for o in organizations if counters._key(o.pk) in keys]


def consume(organization, key, amount=1):
    return enforcement.consume(organization, STORAGE, amount, idempotency_key=key)


def used(organization):
    return enforcement.check(organization, STORAGE).used


@pytest.mark.verify
def test_readings_are_spread_follow_their_slots_and_are_missed_where_a_node_died(patient, nodes):
    organizations = [limited(storage=10) for _ in range(24)]
    for organization in organizations:
        consume(organization, "first", 4)
        used(organization)
    refresh.flush()
    first, second, third = nodes.nodes
    assert all(stored_on(node, organizations) for node in nodes.nodes)
    assert counters.is_alive()
    assert counters.policy() == {"maxmemory-policy": "noeviction", "appendonly": "no"}

    travellers = stored_on(first, organizations)
    nodes.move(sorted(map(slot_of, travellers)), first, second)
    counters.forget_locally()
    assert [counters.find((o.pk, STORAGE, "")).used for o in travellers] == [4] * len(travellers)

    lost = stored_on(third, organizations)
    third.kill()
    counters.forget_locally()
    assert [used(o) for o in organizations] == [4] * len(organizations)
    assert all(consume(o, "second", 6).allowed for o in organizations)
    assert not any(consume(o, "third").allowed for o in lost)
    refresh.flush()
    counters.forget_locally()
    assert [used(o) for o in organizations] == [10] * len(organizations)


def test_what_could_not_be_told_is_forgotten_when_redis_is_back(nodes):
    """Else a node that was away would answer with what it held before, until that expires."""
    organization = limited(storage=10)
    consume(organization, "first", 4)
    used(organization)
    refresh.flush()
    home = nodes.owner_of(slot_of(organization))

    with home.frozen():
        consume(organization, "second", 5)
        wait_for(lambda: organization.pk in counters._local.owed, "the store to fail")
    wait_for(lambda: not counters._local.owed, "the node to be told")
    counters.forget_locally()

    assert used(organization) == 9


class Load:
    """Processes that check and consume, and know what every answer may say at the earliest."""

    LIMIT = 400

    def __init__(self, organizations, processes):
        self.organizations = organizations
        self.admitted = FORK.Array("q", len(organizations))
        self.begun = FORK.Array("q", len(organizations))
        self.stop = FORK.Event()
        self.found = FORK.Queue()
        self.children = [FORK.Process(target=self._run, args=(n,)) for n in range(processes)]

    def __enter__(self):
        connections.close_all()
        for child in self.children:
            child.start()
        return self

    def __exit__(self, *_error):
        self.stop.set()
        self.told = Counter()
        for told in [self.found.get(timeout=60) for _ in self.children]:
            slowest = max(told.pop(SLOWEST, 0), self.told.pop(SLOWEST, 0))
            self.told += told + Counter({SLOWEST: slowest})
        for child in self.children:
            child.join(60)

    def _run(self, process):
        connections["default"].connection = None
        dice = random.Random(process)  # noqa: S311
        told, seen, n = Counter(), defaultdict(deque), 0
        while not self.stop.is_set():
            which = dice.randrange(len(self.organizations))
            n += 1
            try:
                with longest(SLOWEST, told):
                    self._check(which, seen[which], told)
                if n % 3 == 0:
                    self._consume(which, f"{process}-{n}", told)
            except DomainError as error:
                told[f"refused: {error.code}"] += 1
        refresh.flush()  # what a process that is killed here leaves behind is only old
        self.found.put(told)

    def _check(self, which, seen, told):
        now = time.monotonic()
        seen.append((now, self.admitted[which]))
        while len(seen) > 1 and seen[1][0] < now - STALE_SECONDS:
            seen.popleft()
        answer = enforcement.check(self.organizations[which], STORAGE)
        least = seen[0][1] if seen[0][0] < now - STALE_SECONDS else 0
        told["checks"] += 1
        told["wrong"] += not least <= answer.used <= self.begun[which]
        told["open although full"] += least >= self.LIMIT and answer.allowed

    def _consume(self, which, key, told):
        with self.begun.get_lock():
            self.begun[which] += 1
        allowed = self._decided(which, key, told)
        told["admitted" if allowed else "refused at the limit"] += 1
        with (self.admitted if allowed else self.begun).get_lock():
            if allowed:
                self.admitted[which] += 1
            else:
                self.begun[which] -= 1

    def _decided(self, which, key, told):
        """A machine that is busy may not know an outcome in time; the same key finds it."""
        while True:
            try:
                return consume(self.organizations[which], key).allowed
            except (Busy, OutcomeUnknown):
                told["outcomes asked again"] += 1


@pytest.mark.verify
def test_a_cluster_is_resharded_under_load_and_no_check_fails(nodes, report):
    organizations = [limited(storage=Load.LIMIT) for _ in range(60)]
    slots = sorted({slot_of(organization) for organization in organizations})
    first, second, third = nodes.nodes
    happened = []

    def at(event, work):
        began = time.monotonic()
        work()
        happened.append(f"{event} in {time.monotonic() - began:.1f} s")
        time.sleep(5)  # the load goes on as it is

    with Load(organizations, processes=4) as load:
        at("started", lambda: None)
        theirs = set(first.slots_of(first))
        here = [slot for slot in slots if slot in theirs]
        at(f"{len(here)} slots moved", partial(nodes.move, here, first, second))
        at("a node killed", third.kill)
        at("its slots taken over", partial(nodes.take_over, third))
        at("it is back, empty", lambda: (third.start(), nodes.settle()))
        back = second.slots_of(second)[:: len(organizations)]
        at(f"{len(back)} slots moved to it", partial(nodes.move, back, second, third))
        at("all frozen for 3 s", partial(freeze, nodes.nodes, 3))
    counters.forget_locally()

    report(f"{'; '.join(happened)}. {dict(load.told)}")
    assert load.told["wrong"] == load.told["open although full"] == 0
    # A machine with too much else to do may be too slow for PostgreSQL; no node's death is.
    refused = sum(number for name, number in load.told.items() if name.startswith("refused: "))
    assert refused <= load.told["checks"] / 1_000
    for which, organization in enumerate(organizations):
        ledger = UsageEvent.objects.filter(organization=organization).quantity()
        assert ledger == load.admitted[which] <= Load.LIMIT
        assert used(organization) == ledger


@contextmanager
def longest(name, told):
    began = time.monotonic()
    yield
    told[name] = max(told[name], int((time.monotonic() - began) * 1000))


def freeze(nodes, seconds):
    with nodes[0].frozen(), nodes[1].frozen(), nodes[2].frozen():
        time.sleep(seconds)
