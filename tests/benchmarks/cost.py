"""What one consume costs PostgreSQL as the installation grows: pages touched, and time."""

import json
import os
import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, TypedDict
from uuid import UUID, uuid4

import psycopg

from quotas.engine import ledger
from quotas.engine.asking import use
from quotas.engine.decisions import Line, Request
from quotas.models import Verb
from tests.benchmarks import organizations
from tests.benchmarks.organizations import METER

SAMPLES = 300
WARM_UP = 30
MOST_ORGANIZATIONS_AT_ONCE = 100_000
MOST_ROWS_AT_ONCE = 1_000_000


class Cost(TypedDict):
    organizations: int
    ledger_rows: int
    buffers: float  # shared buffers hit or read, per consume
    buffers_of_64: float  # the same where 64 share one call
    p50_us: float
    p99_us: float


class _Explained:
    """A cursor that lets the ledger's own statement run under EXPLAIN."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self.cursor = cursor
        self.buffers = 0

    def execute(self, query: Any, params: Sequence[Any] | None = None) -> None:
        self.cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", params)
        (found,) = self.cursor.fetchone() or (None,)
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        self.buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    def fetchall(self) -> list[Any]:
        return []


def measure(sizes: Sequence[tuple[int, int]], say: Any) -> list[Cost]:
    """`sizes` are (organizations, ledger rows), each at least the one before."""
    organizations.empty()
    known: list[UUID] = []
    rows = 0
    found = []
    for wanted, wanted_rows in sizes:
        say(f"cost at {wanted:,} organizations and {wanted_rows:,} ledger rows")
        while len(known) < wanted:
            known += organizations.create(min(wanted - len(known), MOST_ORGANIZATIONS_AT_ONCE))
        while rows < wanted_rows:
            more = min(wanted_rows - rows, MOST_ROWS_AT_ONCE)
            organizations.fill_ledger(more, salt=f"-{rows}")
            rows += more
        organizations.settle()
        found.append(_cost(known, rows))
    organizations.empty()
    return found


def _cost(known: list[UUID], rows: int) -> Cost:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        with connection.cursor() as cursor:
            for _ in range(WARM_UP):
                ledger.apply(cursor, [_consume(known)], wait_ms=0)
            explained = _Explained(cursor)
            return Cost(
                organizations=len(known),
                ledger_rows=rows,
                buffers=_buffers(explained, known, 1),
                buffers_of_64=_buffers(explained, known, 64) / 64,
                **_latency(connection, known),
            )


def _buffers(explained: _Explained, known: list[UUID], at_once: int) -> float:
    found = []
    for _ in range(SAMPLES // at_once + 20):
        requests = [_consume(known) for _ in range(at_once)]
        explained.execute(*_statement(requests))
        found.append(explained.buffers)
    return median(found)


def _statement(requests: list[Request]) -> tuple[str, Sequence[Any]]:
    """What `ledger.apply` would send, caught before it leaves."""
    caught = _Caught()
    try:
        ledger.apply(caught, requests, wait_ms=0)
    except _CaughtError:
        return caught.query, caught.params
    raise AssertionError("nothing was sent")


class _CaughtError(Exception):
    pass


class _Caught:
    query = ""
    params: Sequence[Any] = ()

    def execute(self, query: Any, params: Sequence[Any] | None = None) -> None:
        self.query, self.params = query, params or ()
        raise _CaughtError

    def fetchall(self) -> list[Any]:
        return []


class _Latency(TypedDict):
    p50_us: float
    p99_us: float


def _latency(connection: psycopg.Connection[Any], known: list[UUID]) -> _Latency:
    took = []
    with connection.cursor(binary=True) as cursor:
        for _ in range(SAMPLES * 2):
            request = _consume(known)
            began = time.perf_counter_ns()
            (rows,) = ledger.apply(cursor, [request], wait_ms=0)
            took.append((time.perf_counter_ns() - began) / 1000)
            assert rows[0].accepted, rows
    took.sort()
    return {"p50_us": median(took), "p99_us": took[len(took) * 99 // 100]}


def _consume(known: list[UUID]) -> Request:
    organization = random.choice(known)  # noqa: S311 (any one will do)
    return use(Verb.CONSUME, organization, [Line(METER, 1)], uuid4().hex)
