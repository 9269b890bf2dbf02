"""Everything real and apart: web server, worker and simulator as processes of their own."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection
from django.test import Client

from billing import catalog
from billing.catalog.apply import apply
from billing.gateway import stripe_api
from config import queues
from tests import children, processes
from tests.stripe_simulator.client import SimulatorClient
from tests.stripe_simulator.process import free_port

Json = dict[str, Any]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


@dataclass(frozen=True)
class Installation:
    """One running Ledgerline, reached by HTTP alone."""

    address: str
    simulator: SimulatorClient

    def call(
        self, method: str, path: str, token: str, body: Json | None = None
    ) -> tuple[int, Json]:
        """Status and JSON of a call to the API."""
        status, text = self.fetch(
            path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        return status, json.loads(text)

    def fetch(self, path: str, **how: Any) -> tuple[int, str]:
        url = path if path.startswith("http") else self.address + path
        request = urllib.request.Request(url, **how)  # noqa: S310 (our own address)
        try:
            with _opener.open(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def tier(self, token: str) -> str:
        status, body = self.call("GET", "/api/v1/billing/status", token)
        assert status == 200, body
        return str(body["tier"])

    def seconds_until(self, tier: str, token: str, *, at_most: float = 20) -> float:
        return processes.wait_until(lambda: self.tier(token) == tier, seconds=at_most)


@pytest.fixture(scope="module")
def programs(django_db_setup, stripe_simulator_process):
    """One web server and one worker with two processes, for all journeys; yields the address."""
    port = free_port()
    site = {"SITE_URL": f"http://127.0.0.1:{port}", **children.measured()}
    with processes.web(port, **site) as address, processes.worker(**site):
        yield address


@pytest.fixture
def installation(transactional_db, stripe_simulator, redis_server, programs):
    """Empty but for the catalogue on sale; webhooks are on their way as soon as events happen."""
    apply(catalog.current(), stripe_api, {})
    stripe_simulator.set_webhook(f"{programs}/webhooks/stripe", settings.STRIPE_WEBHOOK_SECRETS[0])
    processes.wait_until(_worker_answers, seconds=60)
    yield Installation(address=programs, simulator=stripe_simulator)
    stripe_simulator.set_delivery("drop")
    processes.wait_until(lambda: _is_quiet(redis_server), seconds=60)


def _is_quiet(redis):
    """Nothing is queued or running any more, so that the tables can be emptied."""
    busy = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()"
    )
    with connection.cursor() as cursor:
        cursor.execute(busy)
        (running,) = cursor.fetchone()
    return not running and not any(map(redis.llen, queues.NAMES)) and not redis.hlen("unacked")


def _worker_answers():
    return bool(current_app.control.ping(timeout=0.5))


@pytest.fixture
def cookies():
    """A signed-in person's cookie header, as their browser would send it."""

    def of(person):
        client = Client()
        client.force_login(person)
        return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())

    return of
