"""A burst of signed webhooks: sent by many at once, applied by a worker that keeps being killed."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django.db import connection

from billing.entitlement import store
from billing.gateway import stripe_api
from billing.models import BillingAccount, InboxEvent, PlanPrice
from billing.subscription import customers
from orgs.models import Organization
from tests.billing.stripe_events import WEBHOOK, signature
from tests.factories.orgs import OrganizationFactory
from tests.stripe_simulator.client import SimulatorClient

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
TRIES = 20
POLL_SECONDS = 0.2


# --- What is sent -----------------------------------------------------------------------------


def subscribers(number: int) -> list[Organization]:
    """Organizations that subscribe to Pro at Stripe; nobody has told us of it yet."""
    price = PlanPrice.objects.on_sale().for_terms("month", "usd").exclude(stripe_price_id=None)
    paid = price.filter(plan__key="pro").get().stripe_price_id
    found = []
    for _ in range(number):
        organization = OrganizationFactory.create()
        customer = customers.ensure(organization).stripe_customer_id or ""
        client = stripe_api.client().v1
        method = client.payment_methods.attach("pm_card_visa", {"customer": customer})
        wanted: Any = {
            "customer": customer,
            "items": [{"price": paid, "quantity": 2}],
            "default_payment_method": method.id,
        }
        client.subscriptions.create(wanted)
        found.append(organization)
    return found


def events_of(
    simulator: SimulatorClient, organizations: Sequence[Organization], each: int
) -> list[Json]:
    """So many events per customer, those of Stripe first, then clones under ids of their own.

    Mixed as at the start of a month: the first of everybody, the second of everybody, …
    """
    told: dict[str, list[Json]] = {}
    for event in simulator.events():
        event.pop("deliveries", None)
        subject = event["data"]["object"]
        of = subject["id"] if subject["object"] == "customer" else subject.get("customer")
        told.setdefault(of or "", []).append(event)
    accounts = BillingAccount.objects.filter(organization__in=organizations)
    rows = [
        _exactly(told[customer], each)
        for customer in accounts.values_list("stripe_customer_id", flat=True)
        if customer is not None
    ]
    return [event for column in zip(*rows, strict=True) for event in column]


def _exactly(events: list[Json], number: int) -> list[Json]:
    """The subscription's own event is always among them."""
    events = sorted(events, key=lambda one: not one["type"].startswith("customer.subscription"))
    first = events[:number]
    more = islice(cycle(events), number - len(first))
    return first + [{**event, "id": f"evt_{uuid4().hex}"} for event in more]


# --- Sending ----------------------------------------------------------------------------------


@dataclass
class Acknowledged:
    """Milliseconds until the answer, and the answers."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def p(self, percent: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def send(
    address: str, paths: Sequence[str], events: Sequence[Json], senders: int
) -> tuple[dict[str, Acknowledged], float]:
    """Every event once to every path, one after the other by the same sender; and the seconds.

    The paths take turns, so that whatever disturbs the machine disturbs them alike.
    """
    shares = [events[number::senders] for number in range(senders)]
    began = time.monotonic()
    with ThreadPoolExecutor(senders) as pool:
        parts = list(pool.map(lambda share: _send_share(address, paths, share), shares))
    whole = {path: Acknowledged() for path in paths}
    for part in parts:
        for path, found in part.items():
            whole[path].milliseconds += found.milliseconds
            whole[path].statuses += found.statuses
    return whole, time.monotonic() - began


def _send_share(
    address: str, paths: Sequence[str], events: Sequence[Json]
) -> dict[str, Acknowledged]:
    found = {path: Acknowledged() for path in paths}
    where = urlsplit(address)
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)
    for event in events:
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body)}
        for path in paths:
            began = time.perf_counter()
            line.request("POST", path, body, headers)
            answer = line.getresponse()
            answer.read()
            found[path].milliseconds.append((time.perf_counter() - began) * 1000)
            found[path].statuses[answer.status] += 1
    line.close()
    return found


# --- Applying ---------------------------------------------------------------------------------


class Worker:
    """A Celery worker with its beat, in a process group that can be killed as a whole."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.kills = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        beat = ("--beat", "--schedule", str(self.folder / "beat"))
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "--app", "config.celery:app", "--quiet"),
                    "worker",
                    *("--concurrency", "2", *quiet, *beat),
                ],
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill_and_replace(self) -> None:
        """In the middle of its work, as the kernel would when memory is short."""
        self._end(signal.SIGKILL)
        self.kills += 1
        self.start()

    def stop(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: int) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, how)
            self._process.wait()
            self._process = None


def finished() -> int:
    return InboxEvent.objects.exclude(state=InboxEvent.State.WAITING).count()


def watch(
    worker: Worker, *, events: int, kills: int, patience: float, nudge: Callable[[], None]
) -> float:
    """Until every event is settled, with kills spread over the work; returns the seconds.

    Raises TimeoutError when nothing more is settled for `patience` seconds.
    """
    began = moved = time.monotonic()
    marks = [events * (number + 1) // (kills + 2) for number in range(kills)]
    known = -1
    while (settled := finished()) < events:
        if marks and settled >= marks[0]:
            marks.pop(0)
            worker.kill_and_replace()
        if settled != known:
            known, moved = settled, time.monotonic()
        elif time.monotonic() - moved > patience or not worker.is_up():
            raise TimeoutError(f"{settled} of {events} are settled, and no more")
        nudge()
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def audit(organizations: Sequence[Organization], events: Sequence[Json]) -> list[str]:
    """What was lost or came to nothing, in sentences."""
    said = []
    known = set(InboxEvent.objects.values_list("event_id", flat=True))
    if missing := [event["id"] for event in events if event["id"] not in known]:
        said.append(f"{len(missing)} acknowledged events are nowhere, first {missing[0]}")
    if dead := InboxEvent.objects.dead().count():
        said.append(f"{dead} events are dead letters")
    for organization in organizations:
        found = store.current(organization)
        if (found.plan.key, found.source, found.seats) != ("pro", "stripe", 2):
            said.append(f"{organization.slug} is on {found.plan.key} by {found.source}")
        if organization.invoices.filter(status="paid").count() != 1:
            said.append(f"{organization.slug} lacks its paid invoice")
    return said


def forget_mirror() -> None:
    """dj-stripe's own view starts from nothing, too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables"
            " WHERE tablename LIKE 'djstripe_%'"
            " AND tablename NOT IN ('djstripe_account', 'djstripe_webhookendpoint')"
        )
        cursor.execute(f"TRUNCATE {cursor.fetchone()[0]} CASCADE")


WEBHOOKS = WEBHOOK
