"""What one consume costs PostgreSQL as the installation grows: pages touched, and time."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any, TypedDict
from uuid import UUID, uuid4

import psycopg

from quotas.engine import ledger
from quotas.engine.asking import use
from quotas.engine.decisions import Line, Request
from quotas.models import Verb
from tests.benchmarks import explaining, organizations
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
    table_bytes: float  # of the ledger, per row
    index_bytes: float


def measure(sizes: Sequence[tuple[int, int]], say: Any, *, keep: bool = False) -> list[Cost]:
    """`sizes` are (organizations, ledger rows), each at least the one before."""
    organizations.empty()
    found = list(_grown(sizes, say))
    if not keep:
        organizations.empty()
    return found


def _grown(sizes: Sequence[tuple[int, int]], say: Any) -> Iterator[Cost]:
    known: list[UUID] = []
    rows = 0
    for wanted, wanted_rows in sizes:
        say(f"cost at {wanted:,} organizations and {wanted_rows:,} ledger rows")
        while len(known) < wanted:
            known += organizations.create(min(wanted - len(known), MOST_ORGANIZATIONS_AT_ONCE))
        while rows < wanted_rows:
            more = min(wanted_rows - rows, MOST_ROWS_AT_ONCE)
            organizations.fill_ledger(more, salt=f"-{rows}")
            rows += more
        organizations.settle()
        yield _cost(known, rows)


def _cost(known: list[UUID], rows: int) -> Cost:
    table, indexes = organizations.bytes_per_event()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        with connection.cursor() as cursor:
            for _ in range(WARM_UP):
                ledger.apply(cursor, [_consume(known)], wait_ms=0)
            return Cost(
                organizations=len(known),
                ledger_rows=rows,
                buffers=_buffers(cursor, known, 1),
                buffers_of_64=_buffers(cursor, known, 64) / 64,
                table_bytes=round(table, 1),
                index_bytes=round(indexes, 1),
                **_latency(connection, known),
            )


def _buffers(cursor: psycopg.Cursor[Any], known: list[UUID], at_once: int) -> float:
    found = []
    for _ in range(SAMPLES // at_once + 20):
        requests = [_consume(known) for _ in range(at_once)]
        call = partial(ledger.apply, requests=requests, wait_ms=0)
        found.append(explaining.buffers(cursor, call))
    return median(found)


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
