"""Where worlds are played: real PostgreSQL and Redis, the Stripe simulator over HTTP, no worker.

What would go to a worker is kept in a list, so that a world decides when it is done, and whether.
Between worlds everything goes but the catalogues.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from celery.app.task import Task
from django.core import mail
from django.db import connection
from django.test import override_settings
from redis import Redis
from stripe._http_client import HTTPClient

from billing import catalog
from billing import tasks as billing_tasks
from billing.catalog.apply import apply
from billing.gateway import breaker, stripe_api
from quotas import tasks as quota_tasks
from quotas.api import bearers, naming
from quotas.engine import counters, lane, refresh, writer
from quotas.engine.install import install
from tests.stripe_simulator.client import SimulatorClient

CATALOGUES: Final = ("suite", "containers", "tokens", "sessions", "workspaces")
# What `migrate` and `catalog apply` fill. Mirrored prices may stay: they are the same everywhere.
_KEPT: Final = (
    "django_migrations", "django_content_type", "auth_permission", "django_site",
    "subscription_plans", "plan_limits", "plan_prices", "billing_extraprice",
    "billing_stripemeter", "djstripe_account", "djstripe_product", "djstripe_price",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    task: Task
    arguments: tuple[Any, ...]


@dataclass
class Stage:
    """Real servers, played on by one world after the other."""

    simulator: SimulatorClient
    redis: Redis
    catalogues: tuple[str, ...] = CATALOGUES
    queue: list[Job] = field(default_factory=list)
    photographs: dict[str, int] = field(default_factory=dict)

    def publish(self) -> None:
        """Every catalogue, in the database and at an account at Stripe of its own."""
        self.simulator.reset()
        self.simulator.set_delivery("hold")
        empty = self.simulator.photograph()
        for name in self.catalogues:
            self.simulator.restore(empty)
            with override_settings(CATALOG=name):
                apply(catalog.current(), stripe_api, {})
            self.photographs[name] = self.simulator.photograph()

    @contextmanager
    def world(self, name: str, seed: int) -> Iterator[None]:
        """An empty world of this catalogue."""
        self._forget()
        self.simulator.restore(self.photographs[name])
        self.simulator.clear_faults()
        self.simulator.seed_ids(seed)
        with override_settings(CATALOG=name):
            yield
        self._forget()

    def _forget(self) -> None:
        refresh.flush()
        empty()
        self.redis.flushdb()
        self.queue.clear()
        mail.outbox = []
        counters.forget_locally()
        bearers.forget()
        naming.forget()
        breaker.answered()


def run_sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def empty() -> None:
    """As a replica, so that neither guards of append-only tables nor foreign keys object."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(format('SELECT %%L WHERE EXISTS (SELECT FROM %%s)', name, name),"
            " ' UNION ALL ') FROM (SELECT oid::regclass::text AS name FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> ALL (%s)) tables",
            [list(_KEPT)],
        )
        (question,) = cursor.fetchone()
        cursor.execute(question)
        filled = [name for (name,) in cursor.fetchall()]
        if filled:
            deletes = "; ".join(f"DELETE FROM {name}" for name in filled)  # noqa: S608  our tables
            cursor.execute(f"SET session_replication_role = replica; {deletes}")
            cursor.execute("SET session_replication_role = DEFAULT")


@contextmanager
def opened(
    simulator: SimulatorClient, redis: Redis, catalogues: tuple[str, ...] = CATALOGUES
) -> Iterator[Stage]:
    """Waits that only protect a server from others are short here: there are no others.

    Redis alone has all the time it needs. What it could not be told in time is owed to it, and a
    world that forgets what its process holds would forget that as well.
    """
    stage = Stage(simulator, redis, catalogues)

    def keep(task: Task, args: Any = None, *_: Any, **__: Any) -> None:
        stage.queue.append(Job(task, tuple(args or ())))

    with ExitStack() as hasty:
        hasty.enter_context(patch.object(Task, "apply_async", keep))
        hasty.enter_context(patch.object(refresh, "PAUSE_SECONDS", 0.001))
        hasty.enter_context(patch.object(counters, "RENEW_SECONDS", 0.0))
        hasty.enter_context(patch.object(counters, "TIMEOUT_SECONDS", 20.0))
        hasty.enter_context(patch.object(writer, "LONGEST_LOCK_WAIT_SECONDS", 0.03))
        hasty.enter_context(patch.object(writer, "_PATIENT_WAIT_MS", 10))
        hasty.enter_context(patch.object(HTTPClient, "INITIAL_DELAY", 0.001))
        hasty.enter_context(patch.object(HTTPClient, "MAX_DELAY", 0.002))
        hasty.enter_context(patch.object(billing_tasks._Broker, "rests_until", 0.0))
        hasty.enter_context(patch.object(quota_tasks._Broker, "rests_until", 0.0))
        install()
        stage.publish()
        yield stage
    lane.stop_all()
    refresh.stop()
