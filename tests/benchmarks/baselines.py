"""What PostgreSQL itself can do with the same rows: a bare COPY, and one durable INSERT."""

import os
import time
from statistics import median
from uuid import uuid4

import psycopg


class Baselines:
    """A table like the ledger, without index, trigger or partition."""

    def __init__(self) -> None:
        self.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        self.rows = b""

    def prepare(self) -> None:
        """Needs some rows in the ledger; builds the text that COPY will read."""
        self.connection.execute("DROP TABLE IF EXISTS bare_event")
        self.connection.execute("CREATE TABLE bare_event (LIKE usage_event)")
        query = "COPY (SELECT * FROM usage_event LIMIT 100000) TO STDOUT"
        with self.connection.cursor() as cursor, cursor.copy(query) as copy:
            self.rows = b"".join(bytes(block) for block in copy)

    def copy_rows_per_second(self) -> float:
        self.connection.execute("TRUNCATE bare_event")
        count = self.rows.count(b"\n")
        began = time.perf_counter()
        with (
            self.connection.cursor() as cursor,
            cursor.copy("COPY bare_event FROM STDIN") as copy,
        ):
            for start in range(0, len(self.rows), 1 << 20):
                copy.write(self.rows[start : start + (1 << 20)])
        return count / (time.perf_counter() - began)

    def insert_p50_us(self, seconds: float) -> float:
        """Prepared, one row, its own commit, from one connection that does nothing else."""
        self.connection.execute("DROP TABLE IF EXISTS bare_insert")
        self.connection.execute(
            "CREATE TABLE bare_insert (organization_id uuid, key text, meter text, amount bigint,"
            " recorded_at timestamptz, PRIMARY KEY (organization_id, key))"
        )
        organization, took = uuid4(), []
        until = time.monotonic() + seconds
        with self.connection.cursor(binary=True) as cursor:
            while time.monotonic() < until:
                key = uuid4().hex
                began = time.perf_counter_ns()
                cursor.execute(
                    "INSERT INTO bare_insert VALUES (%s, %s, 'ai_queries', 1, now())",
                    [organization, key],
                    prepare=True,
                )
                took.append((time.perf_counter_ns() - began) / 1000)
        return median(took)
