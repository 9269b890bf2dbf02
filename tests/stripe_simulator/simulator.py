"""The simulated account: its objects, its clocks, its events, and what is asked of it."""

import copy
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stripe_simulator import ids, rendering
from tests.stripe_simulator.contract.annotations import API_VERSION
from tests.stripe_simulator.contract.responses import WITHOUT_ID, event_violations
from tests.stripe_simulator.errors import missing
from tests.stripe_simulator.shapes import shape
from tests.stripe_simulator.store import Obj, Store

HOUR = 3600
DAY = 24 * HOUR


@dataclass(kw_only=True)
class Settings:
    """How one simulator process is run."""

    base_url: str
    state: Path | None = None
    strict: bool = True


# What a test may change while the simulator runs; kept on disk with the objects.
DEFAULT_OPTIONS: Obj = {
    "id": "options",
    "delivery": "normal",
    "wall_offset": 0,
    "bank_debit_seconds": 4 * DAY,
    "bank_debit_seconds_without_clock": 20,
    "delayed_payment_subscription": "incomplete",
    "dunning_days": [3, 5, 7],
    "dunning_exhausted": "cancel",
    "upcoming_days": 7,
    "portal_cancels_by_date": False,
}


@dataclass(kw_only=True)
class Simulator:
    """Everything one process knows. Callers hold `lock` while they read or change it."""

    settings: Settings
    store: Store
    lock: threading.RLock = field(default_factory=threading.RLock)
    violations: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    request: Obj = field(default_factory=lambda: {"id": None, "idempotency_key": None})
    owed: dict[str, None] = field(default_factory=dict)
    _buffers: list[list[Obj]] = field(default_factory=list)

    @property
    def options(self) -> Obj:
        options = self.store.get("_options", "options")
        return options or self.store.add("_options", "options", copy.deepcopy(DEFAULT_OPTIONS))

    def url(self, path: str) -> str:
        return self.settings.base_url + path

    def wall_now(self) -> int:
        """Real time plus what the whole simulator was moved by."""
        return int(time.time()) + int(self.options["wall_offset"])

    def clock_of(self, subject: Obj | None) -> str | None:
        """The test clock a customer, or a thing of a customer, lives on."""
        if subject is None:
            return None
        if subject.get("object") == "test_helpers.test_clock":
            return str(subject["id"])
        if subject.get("test_clock"):
            return str(subject["test_clock"])
        customer = subject.get("customer")
        owner = self.store.peek("customer", customer) if isinstance(customer, str) else None
        return owner.get("test_clock") if owner else None

    def now(self, subject: Obj | None = None) -> int:
        clock = self.store.peek("test_helpers.test_clock", self.clock_of(subject) or "")
        return int(clock["frozen_time"]) if clock else self.wall_now()

    def create(self, kind: str, *, key: str | None = None, **values: Any) -> Obj:
        """A new object of the current shape, dated by its customer's clock."""
        body = shape(kind, **values)
        body["id"] = key or ids.new_id(kind)
        if "created" in body and "created" not in values:
            body["created"] = self.now(body)
        return self.store.add(kind, body["id"], body)

    def find(self, kind: str, key: str, param: str = "id") -> Obj:
        """The live object, deleted or not; raises Stripe's resource_missing."""
        found = self.store.get(kind, key)
        if found is None:
            raise missing(kind, key, param)
        return found

    def find_live(self, kind: str, key: str, param: str = "id") -> Obj:
        found = self.find(kind, key, param)
        if found.get("deleted"):
            raise missing(kind, key, param)
        return found

    def emit(self, kind: str, subject: Obj, previous: Obj | None = None) -> Obj:
        """Record what happened, with the object as it is now."""
        data: Obj = {"object": rendering.render(self, subject)}
        if kind in WITHOUT_ID:
            data["object"].pop("id", None)
        if previous:
            data["previous_attributes"] = copy.deepcopy(previous)
        event = shape(
            "event",
            id=ids.new_id("event"),
            type=kind,
            created=self.wall_now(),
            api_version=API_VERSION,
            request=dict(self.request),
        )
        event["data"] = data
        if self._buffers:
            self._buffers[-1].append(event)
        else:
            self.record_event(event)
        return event

    @contextmanager
    def sequence(self, order: tuple[str, ...]) -> Iterator[None]:
        """Events inside leave in the given order, those it does not name after them."""
        rank = {kind: index for index, kind in enumerate(order)}
        buffer: list[Obj] = []
        self._buffers.append(buffer)
        try:
            yield
        finally:
            self._buffers.pop()
        buffer.sort(key=lambda event: rank.get(event["type"], len(rank)))
        for event in _joined(buffer):
            if self._buffers:
                self._buffers[-1].append(event)
            else:
                self.record_event(event)

    def record_event(self, event: Obj, *, checked: bool = True) -> None:
        """Store an event and owe it to every endpoint that listens; a forged one as it is."""
        if not checked:
            event["_sim"] = {"forged": True}
        owed = [
            endpoint
            for endpoint in self.store.where("webhook_endpoint", status="enabled")
            if _listens(endpoint, event["type"])
        ]
        event["pending_webhooks"] = len(owed)
        self.store.add("event", event["id"], event)
        for endpoint in owed:
            key = f"{event['id']}:{endpoint['id']}"
            self.owed[key] = None
            self.store.add(
                "_delivery",
                key,
                {
                    "id": key,
                    "event": event["id"],
                    "endpoint": endpoint["id"],
                    "state": "due",
                    "attempts": [],
                    "next_attempt": 0.0,
                },
            )
        if checked and self.settings.strict:
            self.violations += event_violations(event)


def _joined(events: list[Obj]) -> list[Obj]:
    """One act tells of one customer once: with the last state and all that was before."""
    joined: list[Obj] = []
    for event in events:
        last = joined[-1] if joined else None
        if last and event["type"] == last["type"] == "customer.updated" and _is_same(event, last):
            before = last["data"].get("previous_attributes", {})
            event["data"]["previous_attributes"] = {
                **event["data"].get("previous_attributes", {}),
                **before,
            }
            joined.pop()
        joined.append(event)
    return joined


def _is_same(event: Obj, other: Obj) -> bool:
    return bool(event["data"]["object"]["id"] == other["data"]["object"]["id"])


def _listens(endpoint: Obj, kind: str) -> bool:
    return "*" in endpoint["enabled_events"] or kind in endpoint["enabled_events"]
