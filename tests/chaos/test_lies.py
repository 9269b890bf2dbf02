"""Whatever Redis holds, even a well-formed lie: as much is admitted as there is."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from quotas.engine import counters, enforcement
from quotas.models import UsageEvent
from tests.factories.quotas import limited
from tests.quotas.conftest import _fresh_copies, _lanes_end, durable

__all__ = ["_fresh_copies", "_lanes_end", "durable"]

pytestmark = pytest.mark.usefixtures("durable")

QUERIES = "ai_queries"


def test_flushed_and_lying_redis_admits_nothing_beyond_the_limit():
    organization = limited(ai_queries=100)
    enforcement.check(organization, QUERIES)
    over = threading.Event()
    liar = threading.Thread(target=lie, args=(organization, over))
    liar.start()

    def use(n):
        try:
            enforcement.check(organization, QUERIES)
            answer = enforcement.consume(organization, QUERIES, idempotency_key=f"key-{n}")
            return answer.allowed
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        admitted = sum(pool.map(use, range(400)))
    over.set()
    liar.join()

    assert admitted == 100
    assert UsageEvent.objects.filter(organization=organization).quantity() == 100


def lie(organization, over):
    """Empties Redis, fills it with random bytes, and claims that there is room for ever."""
    redis = counters.client()
    key = f"quota:{{{organization.pk}}}"
    truth = enforcement.reading_of(organization.pk, QUERIES)
    claim = truth.after(sequence=10**12, allowance=10**9, used=0)
    while not over.wait(0.002):
        redis.flushdb()
        redis.set(key, random.randbytes(40))  # noqa: S311  junk
        redis.flushdb()
        redis.hset(key, f"{QUERIES}|", random.randbytes(40))  # noqa: S311  junk
        counters.forget_locally()
        redis.hset(key, f"{QUERIES}|", b"%d|%s" % (claim.sequence, claim.to_json()))
    connections.close_all()
