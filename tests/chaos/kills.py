"""kill -9 under load: of the web, of the writer's backend in the middle of a batch, of PostgreSQL,
of Redis, of the worker that sums up; and Redis emptied and filled with random bytes."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from django.db import connections
from redis import Redis
from redis.exceptions import RedisError

from config.embedded import EmbeddedServices
from quotas import satellites
from quotas.models import LARGEST_AMOUNT, Satellite
from quotas.reading import rollups
from quotas.tasks import roll_up_usage
from tests import installation
from tests.chaos import names, programs
from tests.chaos.audit import audit
from tests.chaos.clients import METER, Callers
from tests.factories.quotas import limited

CALLERS = 16
THREADS = 16
LOAD_SECONDS = 0.4  # between a recovery and the next kill
RECOVERY_SECONDS = 60
SCARCE = 300  # a limit that is reached while the kills go on
ROLL_UP_SECONDS = 2.0

Say = Callable[[str], None]


class Installation:
    """Every part of it can be killed, and comes back as a supervisor would bring it back."""

    def __init__(self, services: EmbeddedServices) -> None:
        self.services = services
        log = installation.var() / "chaos" / "web.log"
        self.web = installation.Web("config.rsgi:application", threads=THREADS, log=log)
        self.worker = programs.worker(1)

    def start(self) -> None:
        self.web.start()
        self.worker.start()
        self.web.wait()

    def stop(self) -> None:
        self.web.kill()
        self.worker.kill()

    @property
    def kills(self) -> dict[str, Callable[[], None]]:
        return {
            "web": self.kill_web,
            "writer": self.kill_writer,
            "PostgreSQL": self.kill_postgresql,
            "Redis": self.kill_redis,
            "worker": self.worker.kill_and_restart,
            "flush": self.flush_redis,
        }

    def kill_web(self) -> None:
        self.web.kill()
        self.web.start()

    def kill_writer(self) -> None:
        """Its backend, while a batch is on its way: PostgreSQL then restarts all of itself."""
        with open_postgresql() as connection:
            for _attempt in range(2_000):
                row = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE state = 'active'"
                    " AND application_name = 'ledgerline-writer'"
                ).fetchone()
                if row is not None:
                    os.kill(row[0], signal.SIGKILL)
                    return
        raise RuntimeError("the writer was never busy")

    def kill_postgresql(self) -> None:
        home = Path(str(self.services.places.recall()["home"]))
        pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def kill_redis(self) -> None:
        with open_redis() as redis:
            os.kill(redis.info("server")["process_id"], signal.SIGKILL)

    def flush_redis(self) -> None:
        with open_redis() as redis:
            keys = list(redis.scan_iter("quota:*", count=1000))
            redis.flushall()
            for key in keys:
                redis.set(key, random.randbytes(60))  # noqa: S311  junk


def run(services: EmbeddedServices, kills: int, say: Say) -> dict[str, Any]:
    """Raises AssertionError for anything lost, counted twice or admitted beyond a limit."""
    names.start_anew()
    organizations = scarce_and_plenty()
    installed = Installation(services)
    installed.start()
    callers = Callers([installed.web.port], token(), organizations, number=CALLERS)
    try:
        callers.start()
        with _rolling_up():
            longest = _kill(installed, callers, kills, say)
        callers.stop()
        found = audit(callers, organizations)
    finally:
        callers.stop()
        installed.stop()
    return {"kills": kills, "longest_recovery_seconds": round(longest, 2), **found}


def _kill(installed: Installation, callers: Callers, kills: int, say: Say) -> float:
    longest = 0.0
    victims = list(installed.kills)
    for number in range(kills):
        time.sleep(LOAD_SECONDS)
        victim = victims[number % len(victims)]
        installed.kills[victim]()
        took = _recovered(callers)
        longest = max(longest, took)
        say(f"{number + 1}. {victim}: {took:.1f} s, {len(callers.answers):,} answers")
    return longest


def _recovered(callers: Callers) -> float:
    """Until calls are answered again, and Redis and PostgreSQL with them."""
    began = time.monotonic()
    before = len(callers.answers)
    while len(callers.answers) < before + CALLERS or not _all_answer():
        if time.monotonic() - began > RECOVERY_SECONDS:
            raise TimeoutError("no answer after a kill")
        time.sleep(0.05)
    return time.monotonic() - began


def _all_answer() -> bool:
    try:
        with open_redis() as redis, open_postgresql() as connection:
            connection.execute("SELECT 1")
            return bool(redis.ping())
    except (RedisError, psycopg.Error):
        return False


@contextmanager
def _rolling_up() -> Iterator[None]:
    """Asks the worker for roll-ups all the time; what a kill drops, the next one does."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(ROLL_UP_SECONDS):
            with suppress(Exception):
                roll_up_usage.delay()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
        connections.close_all()
        rollups.catch_up(wait=True)


def scarce_and_plenty() -> list[UUID]:
    scarce = [limited(**{METER: SCARCE}).pk for _ in range(3)]
    return [*scarce, *(limited(**{METER: LARGEST_AMOUNT // 2}).pk for _ in range(5))]


def token() -> str:
    satellite, _made = Satellite.objects.get_or_create(key="chaos", defaults={"name": "Chaos"})
    _token, secret = satellites.issue_token(satellite)
    return secret


@contextmanager
def open_postgresql() -> Iterator[psycopg.Connection]:
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        yield connection


@contextmanager
def open_redis() -> Iterator[Redis]:
    with Redis.from_url(os.environ["REDIS_URL"], socket_timeout=2) as redis:
        yield redis
