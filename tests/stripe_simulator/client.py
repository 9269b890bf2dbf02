"""A small client of the simulator's controls: the standard library only, so it can be copied."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

Answer = dict[str, Any]


class Refused(Exception):
    """The simulator answered an error; for a declined card, Stripe's own card error."""

    def __init__(self, status: int, error: Answer) -> None:
        super().__init__(f"{status}: {error.get('message')}")
        self.status = status
        self.error = error


class SimulatorClient:
    """Drives `/_sim/` of one running simulator."""

    def __init__(self, base_url: str, timeout: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout

    def is_ready(self) -> bool:
        try:
            return bool(self.call("GET", "health")["status"] == "ok")
        except (OSError, Refused):
            return False

    def complete_checkout(self, session: str, card: str = "success", **buyer: Any) -> Answer:
        return self.call("POST", f"checkout/{session}/complete", {"card": card, **buyer})

    def expire_checkout(self, session: str) -> Answer:
        return self.call("POST", f"checkout/{session}/expire")

    def advance(self, *, customer: str | None = None, **target: int) -> Answer:
        """`to` a Unix time or `by_seconds`; without a customer the whole simulator moves."""
        who = {"customer": customer} if customer else {}
        return self.call("POST", "clock/advance", {**who, **target})

    def set_card(self, customer: str, behaviour: str | None) -> Answer:
        return self.call("POST", f"cards/{customer}", {"behaviour": behaviour})

    def settle_debits(self, customer: str, *, succeeds: bool | None = None) -> Answer:
        how = {} if succeeds is None else {"succeeds": succeeds}
        return self.call("POST", f"payments/{customer}/settle", how)

    def dispute(self, customer: str, reason: str = "fraudulent") -> Answer:
        """Dispute the customer's latest paid charge."""
        return self.call("POST", "disputes", {"customer": customer, "reason": reason})

    def close_dispute(self, dispute: str, outcome: str) -> Answer:
        return self.call("POST", f"disputes/{dispute}/close", {"outcome": outcome})

    def set_delivery(self, mode: str) -> Answer:
        return self.call("POST", "delivery", {"mode": mode})

    def deliver(self, **how: Any) -> list[Answer]:
        """Bring what is held: `seed`, `shuffle`, `duplicate`, `drop`, `workers`, `limit`."""
        delivered: list[Answer] = self.call("POST", "deliver", how)["delivered"]
        return delivered

    def events(self, kind: str | None = None) -> list[Answer]:
        path = f"events?type={kind}" if kind else "events"
        found: list[Answer] = self.call("GET", path)["events"]
        return found

    def events_after(self, skip: int) -> list[Answer]:
        """Those that came after the first `skip`."""
        found: list[Answer] = self.call("GET", f"events?skip={skip}")["events"]
        return found

    def resend(self, event: str) -> Answer:
        return self.call("POST", f"events/{event}/resend")

    def emit(self, kind: str, subject: str | Answer, **how: Any) -> Answer:
        """`overrides` of the event; `secrets`, `timestamp` or `url` send it directly."""
        return self.call("POST", "emit", {"type": kind, "object": subject, **how})

    def clone(self, event: str) -> str:
        """A second event about the same change; returns its id."""
        made: str = self.call("POST", f"events/{event}/clone")["event"]
        return made

    def fault(self, endpoint: str, kind: str, times: int = 1, **how: float) -> Answer:
        """`endpoint` is "POST /v1/customers", with * for any; `seconds`, `share` of requests."""
        return self.call(
            "POST", "faults", {"endpoint": endpoint, "kind": kind, "times": times, **how}
        )

    def clear_faults(self) -> Answer:
        return self.call("DELETE", "faults")

    def options(self, **changes: Any) -> Answer:
        return self.call("POST", "options", changes)

    def set_webhook(self, url: str, *secrets: str, **how: Any) -> Answer:
        return self.call("POST", "webhooks", {"url": url, "secrets": list(secrets), **how})

    def requests(self) -> dict[str, int]:
        return self.call("GET", "requests")

    def clear_requests(self) -> Answer:
        return self.call("DELETE", "requests")

    def state(self, kind: str) -> list[Answer]:
        found: list[Answer] = self.call("GET", f"state/{kind}")["data"]
        return found

    def violations(self) -> list[str]:
        found: list[str] = self.call("GET", "violations")["violations"]
        return found

    def seed_ids(self, seed: int) -> Answer:
        """From now on new objects get the same names in the same order."""
        return self.call("POST", "ids", {"seed": seed})

    def photograph(self) -> int:
        """Remember the account as it is; `restore` brings it back."""
        taken: int = self.call("POST", "photographs")["photograph"]
        return taken

    def restore(self, photograph: int) -> Answer:
        return self.call("POST", f"photographs/{photograph}/restore")

    def reset(self) -> Answer:
        return self.call("POST", "reset")

    def wait_until_idle(self, timeout: float = 10.0) -> None:
        """Until no delivery could leave right now; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while not self.call("GET", "health")["idle"]:
            if time.monotonic() > deadline:
                raise TimeoutError("the simulator is still delivering")
            time.sleep(0.01)

    def call(self, method: str, path: str, body: Answer | None = None) -> Answer:
        """One control by its path below `/_sim/`; raises Refused."""
        request = urllib.request.Request(  # noqa: S310 (always our own http address)
            f"{self.base_url}/_sim/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                answer: Answer = json.load(response)
                return answer
        except urllib.error.HTTPError as refused:
            answer = json.load(refused)
            raise Refused(refused.code, answer["error"]) from None
