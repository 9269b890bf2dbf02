"""Webhooks on their way out: signed, in order, retried, and troubled on request."""

import hashlib
import hmac
import json
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.stripe_simulator import rendering
from tests.stripe_simulator.lifecycle import scheduler
from tests.stripe_simulator.resources.events import version_for
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

logger = logging.getLogger("stripe_simulator")

MODES = ("normal", "hold", "shuffle", "double", "drop")
# Stripe retries for three days; the first waits are short so that a laptop sees them.
BACKOFF = (1, 5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000, 36_000, 36_000, 36_000)
TIMEOUT = 20.0
TICK = 0.5
# In shuffle mode events gather this long before they leave in any order.
SHUFFLE_WAIT = 0.3


class Courier:
    """One thread that brings due events to their endpoints, oldest first."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._random = random.Random()  # noqa: S311 (no secret depends on it)
        self._client = httpx.Client(timeout=TIMEOUT, trust_env=False)
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._busy = False
        self._seen = -1
        self._release: Obj | None = None

    @property
    def mode(self) -> str:
        options = self._sim.store.peek("_options", "options") or {}
        return str(options.get("delivery", "normal"))

    def start(self) -> None:
        for one in self._sim.store.scan("_delivery", state="due"):
            self._sim.owed[one["id"]] = None
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def wake(self) -> None:
        self._wake.set()

    def set_mode(self, mode: str) -> None:
        self._sim.options["delivery"] = mode
        self.wake()

    def is_idle(self) -> bool:
        """Nothing is leaving and nothing could leave right now."""
        with self._sim.lock:
            waiting = self.mode == "hold" or not self._due(time.time())
            return waiting and not self._busy and self._release is None

    def wait_until_home(self) -> None:
        """Until an attempt that is on its way has ended."""
        deadline = time.monotonic() + TIMEOUT
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.005)

    def waiting(self) -> int:
        with self._sim.lock:
            return len(self._due(None))

    def let_go(self, *, shuffle: bool = False, double: bool = False) -> None:
        """Have the thread bring all that is held now; the caller need not wait."""
        self._release = {"shuffle": shuffle, "duplicate": double}
        self.wake()

    def resend(self, event: str) -> None:
        """Owe one event once more to everyone who listens."""
        self._sim.find("event", event, "event")
        for one in self._sim.store.where("_delivery", event=event):
            one |= {"state": "due", "next_attempt": 0.0}
            self._sim.owed[one["id"]] = None

    def deliver_held(
        self,
        *,
        seed: int | None = None,
        shuffle: bool = False,
        duplicate: bool = False,
        drop: float = 0.0,
        workers: int = 1,
        limit: int | None = None,
    ) -> list[Obj]:
        """Bring what is due or held now, and say how each was received; lose a share of it."""
        chooser = random.Random(seed)  # noqa: S311 (a repeatable order is wanted)
        with self._sim.lock:
            owed = [key for key in self._due(None) if not self._lose(key, chooser, drop)]
        if limit is not None:
            owed = owed[:limit]
        if duplicate:
            owed = [key for key in owed for _ in range(2)]
        if shuffle or seed is not None:
            chooser.shuffle(owed)
        with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
            return list(pool.map(self._bring, owed))

    def _lose(self, key: str, chooser: random.Random, share: float) -> bool:
        if not share or chooser.random() >= share:
            return False
        owed = self._sim.store.get("_delivery", key)
        if owed:
            owed["state"] = "dropped"
        return True

    def send_event(self, event: Obj, *, url: str, secrets: list[str], **how: Any) -> int:
        """Post one event to one address; returns the status, 0 when nobody answered."""
        body = json.dumps(event, indent=2, ensure_ascii=False).encode()
        moment = int(how.get("timestamp") or time.time())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "*/*; q=0.5, application/xml",
            "Cache-Control": "no-cache",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, moment, secrets),
        }
        try:
            return self._client.post(url, content=body, headers=headers).status_code
        except httpx.HTTPError:
            return 0

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(TICK)
            self._wake.clear()
            self._run_wall_clock()
            if self._release is not None:
                self._busy, how, self._release = True, self._release, None
                self.deliver_held(**how)
                self._busy = False
            self._empty_queue()

    def _run_wall_clock(self) -> None:
        """What fell due by the wall, looked at once a second."""
        with self._sim.lock:
            now = self._sim.wall_now()
            if now == self._seen:
                return
            self._seen = now
            try:
                scheduler.run_wall(self._sim)
                self._sim.store.commit()
            except Exception as bug:
                self._sim.store.rollback()
                self._sim.violations.append(f"the wall clock crashed: {bug!r}")
                logger.exception("the wall clock crashed")

    def _empty_queue(self) -> None:
        while not self._stop.is_set():
            with self._sim.lock:
                ready = [] if self.mode == "hold" else self._due(time.time())
                mode = self.mode
                self._busy = bool(ready)
            if not ready:
                return
            chosen = self._arrange(ready, mode)
            for key in chosen:
                self._act(mode, key)
                if self._stop.is_set() or self._has_left(mode):
                    break
            self._busy = False

    def _has_left(self, mode: str) -> bool:
        with self._sim.lock:
            return self.mode != mode

    def _arrange(self, ready: list[str], mode: str) -> list[str]:
        if mode != "shuffle":
            return ready
        time.sleep(SHUFFLE_WAIT)
        with self._sim.lock:
            ready = self._due(time.time())
        self._random.shuffle(ready)
        return ready

    def _act(self, mode: str, key: str) -> None:
        if mode == "drop":
            with self._sim.lock:
                owed = self._sim.store.get("_delivery", key)
                if owed:
                    owed["state"] = "dropped"
                    self._sim.store.commit()
            return
        self._bring(key)
        if mode == "double":
            self._bring(key)

    def _due(self, moment: float | None) -> list[str]:
        """Keys of what may leave at a moment (None: of all that is owed), oldest first."""
        found = []
        for key in list(self._sim.owed):
            one = self._sim.store.peek("_delivery", key)
            if one is None or one["state"] != "due":
                self._sim.owed.pop(key)
            elif moment is None or one["next_attempt"] <= moment:
                found.append(key)
        return found

    def _bring(self, key: str) -> Obj:
        """One attempt at one delivery, written down; a finished one is simply sent again."""
        with self._sim.lock:
            owed = self._sim.store.get("_delivery", key)
            if owed is None:
                return {"id": key, "type": None, "status": None}
            event, listener = self._parts(owed)
        return self._record(key, event, self._post(event, listener))

    def _parts(self, owed: Obj) -> tuple[Obj, Obj]:
        stored = self._sim.find("event", owed["event"])
        event = rendering.render(self._sim, stored)
        listener = self._sim.find("webhook_endpoint", owed["endpoint"])
        if not stored.get("_sim", {}).get("forged"):
            event["api_version"] = version_for(listener)
        return event, dict(listener)

    def _post(self, event: Obj, listener: Obj) -> int:
        return self.send_event(event, url=listener["url"], secrets=listener["_sim"]["secrets"])

    def _record(self, key: str, event: Obj, status: int) -> Obj:
        with self._sim.lock:
            owed = self._sim.store.get("_delivery", key)
            if owed:
                owed["attempts"].append({"at": int(time.time()), "status": status})
                if owed["state"] != "done":
                    self._conclude(owed, accepted=200 <= status < 300)
                self._sim.store.commit()
        return {"id": event["id"], "type": event["type"], "status": status}

    def _conclude(self, owed: Obj, *, accepted: bool) -> None:
        event = self._sim.store.get("event", owed["event"])
        if accepted:
            owed["state"] = "done"
            if event:
                event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
            return
        tries = len(owed["attempts"])
        if tries > len(BACKOFF):
            owed["state"] = "failed"
        else:
            owed["next_attempt"] = time.time() + BACKOFF[tries - 1]


def signature(body: bytes, moment: int, secrets: list[str]) -> str:
    """Stripe-Signature: one v1 for each valid secret, the newest first."""
    parts = [f"t={moment}"]
    for secret in secrets:
        digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256)
        parts.append(f"v1={digest.hexdigest()}")
    return ",".join(parts)
