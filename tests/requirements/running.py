"""One catalogue's product, running: our application and a Celery worker as threads, Stripe apart.

Everything a test sees of it comes over HTTP: the API, the pages, the simulator and its webhooks.
"""

import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from celery import signals
from celery.contrib.testing.worker import start_worker
from django.conf import settings
from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from django.test import Client, TransactionTestCase, override_settings
from django.utils import timezone
from psycopg.sql import SQL, Identifier
from redis import Redis

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.gateway import stripe_api
from billing.models import EffectivePlan, InboxEvent
from config import queues
from config.celery import app as celery
from config.problems import problem
from orgs.models import Organization, Role, User
from quotas import hot_path, satellites
from quotas.engine import lane, refresh
from tests.factories.orgs import OrganizationFactory, api_token_for, member_of, owner_of
from tests.factories.quotas import SatelliteFactory
from tests.stripe_simulator.client import SimulatorClient

Json = dict[str, Any]
HOUR, DAY = 3600, 86_400
PATIENCE_SECONDS = 60
THREADS = 4


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Message

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def cookies(self) -> SimpleCookie:
        found: SimpleCookie = SimpleCookie()
        for header in self.headers.get_all("Set-Cookie", []):
            found.load(header)
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def fetch(url: str, **how: Any) -> Answer:
    """Any answer is an answer; redirects are not followed."""
    request = urllib.request.Request(url, **how)  # noqa: S310 (our own addresses)
    try:
        with _opener.open(request, timeout=PATIENCE_SECONDS) as found:
            return Answer(found.status, found.read().decode(errors="replace"), found.headers)
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.read().decode(errors="replace"), refused.headers)


@dataclass(frozen=True)
class Site:
    """The running installation of one catalogue."""

    url: str
    simulator: SimulatorClient
    service_token: str

    def team(self, **fields: Any) -> "Customer":
        """A new team with one owner, who has an API token."""
        return self.customer(OrganizationFactory.create(**fields))

    def customer(self, organization: Organization) -> "Customer":
        owner = owner_of(organization)
        return Customer(self, organization, owner, api_token_for(owner))

    def call(self, method: str, path: str, token: str, body: Json | None = None) -> Answer:
        return fetch(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )

    def settle(self) -> None:
        """Stripe's webhooks arrive, and the worker does all that follows, and so on to the end."""
        while self.simulator.deliver(workers=2) or not _is_quiet():
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _is_quiet():
                assert time.monotonic() < deadline, "the worker is still busy"
                time.sleep(0.03)

    def minute(self) -> None:
        """What beat does within some minutes: transitions are announced, mail leaves."""
        tasks.announce_transitions()
        tasks.end_unpaid_subscriptions()
        self.settle()
        tasks.deliver_outbox()


@dataclass(frozen=True)
class Customer:
    """One organization and the person who pays for it."""

    site: Site
    organization: Organization
    person: User
    token: str
    _cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    # --- The API ------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        answer = self.site.call("GET", f"/api/{path}", self.token)
        assert answer.status == 200, answer.text
        return answer.body

    def post(self, path: str, **body: Any) -> Answer:
        return self.site.call("POST", f"/api/{path}", self.token, body)

    @property
    def status(self) -> Json:
        found: Json = self.get("v1/billing/status")
        return found

    @property
    def invoices(self) -> list[Json]:
        """Newest first."""
        found: list[Json] = self.get("v1/billing/invoices")["invoices"]
        return found

    def usage(self, verb: str, meter: str, amount: int = 1, **more: Any) -> Answer:
        """A call of the product's satellite about this organization."""
        if verb in {"consume", "record"}:
            more.setdefault("idempotency_key", f"{verb}-{time.monotonic_ns()}")
        body = {"organization": str(self.organization.pk), "meter": meter, "amount": amount, **more}
        return self.site.call("POST", f"/api/v1/usage/{verb}", self.site.service_token, body)

    def reading(self, meter: str) -> Json:
        found: Json = self.usage("check", meter).body
        return found

    # --- Pages --------------------------------------------------------------------------------

    def page(self, path: str = "settings/billing/", *, person: User | None = None) -> str:
        answer = self.open(path, person=person)
        assert answer.status == 200, answer.text[:500]
        return answer.text

    def open(self, path: str, *, person: User | None = None) -> Answer:
        return self._visit(person or self.person, path)

    def submit(self, path: str, **fields: str) -> Answer:
        """A form of the pages, as a browser sends it; messages are shown by the next page."""
        form = self.open("settings/billing/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token, form.text[:500]
        sent = urlencode({"csrfmiddlewaretoken": token[1], **fields})
        return self._visit(self.person, path, data=sent.encode())

    def _visit(self, person: User, path: str, **how: Any) -> Answer:
        """A browser keeps every cookie that it is given."""
        jar = self._cookies.setdefault(person.email, {}) or cookies_of(person)
        sent = "; ".join(f"{name}={value}" for name, value in jar.items())
        url = f"{self.site.url}/o/{self.organization.slug}/{path}"
        answer = fetch(url, headers={"Cookie": sent}, **how)
        for cookie in answer.cookies.values():
            jar[cookie.key] = cookie.coded_value
        self._cookies[person.email] = jar
        return answer

    def colleague(self, role: Role) -> User:
        found: User = member_of(self.organization, role)
        return found

    # --- Money and time -----------------------------------------------------------------------

    @property
    def stripe_id(self) -> str:
        found: str = self.status["stripe_customer_id"]
        return found

    def checkout(self, tier: str, **order: Any) -> Json:
        """Opens Checkout and answers the session as Stripe has it."""
        answer = self.post("v1/billing/checkout", tier=tier, **order)
        assert answer.status == 200, answer.text
        return self.site_session(answer.body["checkout_url"])

    def site_session(self, url: str) -> Json:
        sessions = self.site.simulator.state("checkout.session")
        (session,) = [found for found in sessions if found["url"] == url]
        return session

    def buy(self, tier: str, **order: Any) -> "Customer":
        """Paid at Stripe, and known here by its webhooks."""
        self.site.simulator.complete_checkout(self.checkout(tier, **order)["id"])
        self.until(tier=tier, source="stripe")
        return self

    def advance(self, days: float = 0, **target: int) -> None:
        """The customer's clock at Stripe moves, and ours with it."""
        how = target or {"by_seconds": int(days * DAY)}
        self.site.simulator.advance(customer=self.stripe_id, **how)
        self.site.settle()

    def renew(self, card: str = "success") -> None:
        """To two hours after the end of the period, when the renewal was charged, or failed."""
        self.site.simulator.set_card(self.stripe_id, card)
        end = EffectivePlan.objects.get(organization=self.organization).period_end
        assert end is not None
        self.advance(to=int(end.timestamp()) + 2 * HOUR)

    def until(self, **expected: Any) -> Json:
        """The status once the webhooks are in, which must say so."""
        self.site.settle()
        found = self.status
        assert {name: found[name] for name in expected} == expected
        return found


# --- Running ----------------------------------------------------------------------------------


@contextmanager
def running(
    name: str, simulator: SimulatorClient, *, webhook: str = "webhooks/stripe"
) -> Iterator[Site]:
    """The catalogue on sale, pages and API served, a worker at work; nothing is left behind."""
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis.flushdb()
    simulator.reset()
    simulator.set_delivery("hold")
    try:
        with override_settings(CATALOG=name), _web() as url, override_settings(SITE_URL=url):
            apply(catalog.current(), stripe_api, {})
            simulator.set_webhook(f"{url}/{webhook}", settings.STRIPE_WEBHOOK_SECRETS[0])
            token = satellites.issue_token(SatelliteFactory.create())[1]
            with _worker():
                site = Site(url, simulator, token)
                site.settle()
                yield site
                site.settle()
    finally:
        lane.stop_all()
        refresh.stop()
        TransactionTestCase()._fixture_teardown()  # type: ignore[attr-defined]  # tests/conftest.py


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name in http.server
        return None


class _Server(WSGIServer):
    """A few threads that keep their connections to PostgreSQL, as the real server's do."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Quiet)
        self.threads = ThreadPoolExecutor(THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.threads.submit(self._answer, request, client_address)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)

    def server_close(self) -> None:
        """Each thread closes its own connection; they wait for each other, so that all do."""
        barrier = threading.Barrier(THREADS)

        def leave() -> None:
            barrier.wait(PATIENCE_SECONDS)
            connections.close_all()

        for left in [self.threads.submit(leave) for _ in range(THREADS)]:
            left.result()
        self.threads.shutdown()
        super().server_close()


@contextmanager
def _web() -> Iterator[str]:
    server = _Server()
    server.set_app(hot_path.in_front_of(get_wsgi_application(), problem))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _worker() -> Iterator[None]:
    """Celery's own, in a thread; no connection outlives a task, or the flush would wait for it."""
    signals.task_postrun.connect(_close_connections)
    try:
        with start_worker(celery, pool="solo", perform_ping_check=False):
            yield
    finally:
        signals.task_postrun.disconnect(_close_connections)


def _close_connections(**kwargs: Any) -> None:
    connections.close_all()


def _is_quiet() -> bool:
    waiting = InboxEvent.objects.due(timezone.now()).exists()
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        return not waiting and not any(map(redis.llen, queues.NAMES)) and not redis.hlen("unacked")


def cookies_of(person: User) -> dict[str, str]:
    """A signed-in person's cookies."""
    client = Client()
    client.force_login(person)
    return {name: morsel.coded_value for name, morsel in client.cookies.items()}


def everything_stored() -> str:
    """Every row of every table as text."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(
                SQL("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {} t").format(
                    Identifier(table)
                )
            )
            texts.append(cursor.fetchone()[0])
    return "\n".join(texts)
