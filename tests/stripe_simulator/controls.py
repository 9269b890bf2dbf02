"""What only a simulator has: `/_sim/` moves clocks, troubles deliveries and shows everything."""

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.stripe_simulator import ids, rendering
from tests.stripe_simulator.contract.annotations import API_VERSION
from tests.stripe_simulator.delivery import MODES, Courier
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.faults import KINDS, Fault, Faults
from tests.stripe_simulator.lifecycle import (
    cards,
    checkout,
    collection,
    disputes,
    payments,
    scheduler,
)
from tests.stripe_simulator.lifecycle.checkout import Buyer
from tests.stripe_simulator.pages.site import LOCAL
from tests.stripe_simulator.resources.events import add_endpoint
from tests.stripe_simulator.shapes import merge, shape
from tests.stripe_simulator.simulator import DEFAULT_OPTIONS, Simulator
from tests.stripe_simulator.store import Obj


class Controls:
    """The handlers of `/_sim/`; each takes a JSON object and answers one."""

    def __init__(
        self, sim: Simulator, courier: Courier, faults: Faults, webhooks: list[tuple[str, str]]
    ) -> None:
        self.sim = sim
        self.courier = courier
        self.faults = faults
        self.webhooks = webhooks
        self.photographs: list[str] = []

    def routes(self) -> list[Route]:
        return [
            self._route("GET", "/_sim/health", self.health),
            self._route("POST", "/_sim/checkout/{session}/complete", self.complete),
            self._route("POST", "/_sim/checkout/{session}/expire", self.expire),
            self._route("POST", "/_sim/clock/advance", self.advance),
            self._route("POST", "/_sim/payments/{customer}/settle", self.settle),
            self._route("POST", "/_sim/disputes", self.dispute),
            self._route("POST", "/_sim/disputes/{dispute}/close", self.close_dispute),
            self._route("POST", "/_sim/cards/{customer}", self.set_card),
            self._route("POST", "/_sim/delivery", self.set_delivery),
            self._route("POST", "/_sim/deliver", self.deliver),
            self._route("POST", "/_sim/emit", self.emit),
            self._route("GET", "/_sim/events", self.events),
            self._route("POST", "/_sim/events/{event}/resend", self.resend),
            self._route("POST", "/_sim/events/{event}/clone", self.clone),
            self._route("POST", "/_sim/faults", self.add_fault),
            self._route("DELETE", "/_sim/faults", self.clear_faults),
            self._route("POST", "/_sim/options", self.set_options),
            self._route("GET", "/_sim/options", self.show_options),
            self._route("POST", "/_sim/webhooks", self.set_webhook),
            self._route("GET", "/_sim/requests", self.show_requests),
            self._route("DELETE", "/_sim/requests", self.clear_requests),
            self._route("GET", "/_sim/state/{kind}", self.state),
            self._route("GET", "/_sim/state", self.kinds),
            self._route("GET", "/_sim/violations", self.violations),
            self._route("POST", "/_sim/ids", self.seed_ids),
            self._route("POST", "/_sim/photographs", self.photograph),
            self._route("POST", "/_sim/photographs/{number}/restore", self.restore),
            self._route("POST", "/_sim/reset", self.reset),
        ]

    def health(self, _: Obj) -> Obj:
        return {"status": "ok", "api_version": API_VERSION, "idle": self.courier.is_idle()}

    def complete(self, asked: Obj) -> Obj:
        """Pay as the person on the Checkout page would; 402 with Stripe's error if refused."""
        sim = self.sim
        session = sim.find("checkout.session", asked["session"], "session")
        behaviour = asked.get("card", "success")
        if behaviour not in cards.BEHAVIOURS:
            raise StripeError(f"card must be one of {', '.join(cards.BEHAVIOURS)}", param="card")
        checkout.complete(
            sim,
            session,
            Buyer(
                behaviour=behaviour,
                challenge_passed=asked.get("challenge", "complete") == "complete",
                email=asked.get("email"),
                name=asked.get("name", "Test Buyer"),
                address=asked.get("address") or {"country": "US", "postal_code": "94107"},
                promotion_code=asked.get("promotion_code"),
            ),
        )
        return {
            "status": session["status"],
            "payment_status": session["payment_status"],
            "subscription": session["subscription"],
            "redirect_url": checkout.redirect_url(session),
        }

    def expire(self, asked: Obj) -> Obj:
        session = self.sim.find("checkout.session", asked["session"], "session")
        checkout.expire(self.sim, session)
        return {"status": session["status"]}

    def advance(self, asked: Obj) -> Obj:
        """Move a customer's clock; without a customer or clock, the whole simulator's time."""
        sim = self.sim
        name = asked.get("clock")
        if asked.get("customer"):
            customer = sim.find("customer", asked["customer"], "customer")
            name = customer.get("test_clock")
            if name is None:
                raise StripeError("This customer has no test clock.", param="customer")
        if name is None:
            options = sim.options
            options["wall_offset"] += _target(asked, sim.wall_now()) - sim.wall_now()
            scheduler.run_wall(sim)
            return {"now": sim.wall_now()}
        clock = sim.find("test_helpers.test_clock", name, "clock")
        scheduler.advance(sim, clock, _target(asked, clock["frozen_time"]))
        return {"clock": clock["id"], "now": clock["frozen_time"]}

    def settle(self, asked: Obj) -> Obj:
        """The bank answers now for a customer's waiting debits."""
        waiting = [
            intent
            for intent in self.sim.store.where("payment_intent", customer=asked["customer"])
            if payments.is_waiting(intent)
        ]
        for intent in waiting:
            if "succeeds" in asked:
                intent["_sim"]["succeeds"] = bool(asked["succeeds"])
            collection.settle_debit(self.sim, intent)
        return {"settled": [intent["id"] for intent in waiting]}

    def set_card(self, asked: Obj) -> Obj:
        """From now on every charge of this customer gets this answer; null ends it."""
        customer = self.sim.find_live("customer", asked["customer"], "customer")
        behaviour = asked.get("behaviour")
        if behaviour is not None and behaviour not in cards.BEHAVIOURS:
            raise StripeError(
                f"behaviour must be null or one of {', '.join(cards.BEHAVIOURS)}",
                param="behaviour",
            )
        customer.setdefault("_sim", {})["card_behaviour"] = behaviour
        return {"customer": customer["id"], "behaviour": behaviour}

    def dispute(self, asked: Obj) -> Obj:
        """The payer disputes a charge, or the latest paid one of a customer."""
        key = asked.get("charge")
        if key is None:
            paid = self.sim.store.scan("charge", customer=asked.get("customer"), paid=True)
            if not paid:
                raise StripeError("There is no paid charge to dispute.", param="customer")
            key = paid[-1]["id"]
        charge = self.sim.find("charge", key, "charge")
        dispute = disputes.open_dispute(self.sim, charge, asked.get("reason", "fraudulent"))
        return {"dispute": dispute["id"], "status": dispute["status"]}

    def close_dispute(self, asked: Obj) -> Obj:
        dispute = self.sim.find("dispute", asked["dispute"], "dispute")
        disputes.close(self.sim, dispute, won=asked.get("outcome") == "won")
        return {"dispute": dispute["id"], "status": dispute["status"]}

    def set_delivery(self, asked: Obj) -> Obj:
        if asked.get("mode") not in MODES:
            raise StripeError(f"mode must be one of {', '.join(MODES)}", param="mode")
        self.courier.set_mode(asked["mode"])
        return {"mode": asked["mode"]}

    def deliver(self, asked: Obj) -> Obj:
        """Bring what is held or due, without the lock: receivers may call back."""
        with self.sim.lock:
            self.sim.store.commit()
        names = ("seed", "shuffle", "duplicate", "drop", "workers", "limit")
        how = {name: asked[name] for name in names if name in asked}
        return {"delivered": self.courier.deliver_held(**how)}

    def emit(self, asked: Obj) -> Obj:
        """Any event at all, true or not: of an object we know, or of a body that is given."""
        sim = self.sim
        subject = asked.get("object") or {}
        if isinstance(subject, str):
            kind = sim.store.kind_of(subject)
            subject = rendering.render(sim, sim.find(kind or "object", subject, "object"))
        event = shape(
            "event",
            id=ids.new_id("event"),
            type=asked["type"],
            created=sim.wall_now(),
            api_version=API_VERSION,
            request={"id": None, "idempotency_key": None},
        )
        event["data"] = {"object": subject}
        if asked.get("previous_attributes"):
            event["data"]["previous_attributes"] = asked["previous_attributes"]
        merge(event, asked.get("overrides") or {})
        if asked.get("url") or asked.get("secrets") or asked.get("timestamp"):
            return self._send_directly(event, asked)
        sim.record_event(event, checked=False)
        return event

    def events(self, asked: Obj) -> Obj:
        """Every event in order (`skip` leaves out the first), and what became of deliveries."""
        owed: dict[str, list[Obj]] = {}
        for one in self.sim.store.scan("_delivery"):
            owed.setdefault(one["event"], []).append(one)
        wanted = asked.get("type")
        shown = [
            {**event, "deliveries": owed.get(event["id"], [])}
            for event in self.sim.store.scan("event")[int(asked.get("skip", 0)) :]
            if wanted in {None, event["type"]}
        ]
        return {"events": shown}

    def resend(self, asked: Obj) -> Obj:
        """Deliver one event once more to everyone who listens."""
        self.courier.resend(asked["event"])
        return {"event": asked["event"]}

    def clone(self, asked: Obj) -> Obj:
        """Tell of the same change in a second event with an id of its own, as Stripe may."""
        event = self.sim.find("event", asked["event"], "event")
        twin = json.loads(json.dumps({**event, "id": ids.new_id("event")}))
        twin.pop("_sim", None)
        self.sim.record_event(twin)
        return {"event": twin["id"]}

    def add_fault(self, asked: Obj) -> Obj:
        if asked.get("kind") not in KINDS:
            raise StripeError(f"kind must be one of {', '.join(KINDS)}", param="kind")
        method, _, path = str(asked.get("endpoint", "* *")).partition(" ")
        self.faults.add(
            Fault(
                kind=asked["kind"],
                method=asked.get("method", method) or "*",
                path=asked.get("path", path) or "*",
                times=int(asked.get("times", 1)),
                seconds=float(asked.get("seconds", 0)),
                share=float(asked.get("share", 1)),
            )
        )
        return {"waiting": len(self.faults.waiting)}

    def clear_faults(self, _: Obj) -> Obj:
        self.faults.clear()
        return {"waiting": 0}

    def set_options(self, asked: Obj) -> Obj:
        unknown = set(asked) - (set(DEFAULT_OPTIONS) - {"id", "delivery"})
        if unknown:
            raise StripeError(f"Unknown options: {', '.join(sorted(unknown))}")
        self.sim.options.update(asked)
        return dict(self.sim.options)

    def show_options(self, _: Obj) -> Obj:
        return dict(self.sim.options)

    def set_webhook(self, asked: Obj) -> Obj:
        """Make an endpoint, or give it other secrets: several at once while one is rotated."""
        secrets: list[str] = asked.get("secrets") or [asked["secret"]]
        known = self.sim.store.where("webhook_endpoint", url=asked["url"])
        made = known[0] if known else add_endpoint(self.sim, asked["url"], secrets[0], ["*"])
        made["_sim"]["secrets"] = secrets
        if "enabled_events" in asked:
            made["enabled_events"] = asked["enabled_events"]
        if "api_version" in asked:
            made["api_version"] = asked["api_version"]
        return {"id": made["id"], "url": made["url"], "secrets": secrets}

    def show_requests(self, _: Obj) -> Obj:
        return dict(sorted(self.sim.requests.items()))

    def clear_requests(self, _: Obj) -> Obj:
        self.sim.requests.clear()
        return {}

    def state(self, asked: Obj) -> Obj:
        return {"data": list(self.sim.store.scan(asked["kind"]))}

    def kinds(self, _: Obj) -> Obj:
        return self.sim.store.kinds()

    def violations(self, _: Obj) -> Obj:
        return {"violations": list(self.sim.violations)}

    def seed_ids(self, asked: Obj) -> Obj:
        ids.seed(int(asked["seed"]))
        return {"seed": asked["seed"]}

    def photograph(self, _: Obj) -> Obj:
        """Remember the account as it is now; a reset forgets that, too."""
        self.photographs.append(self.sim.store.photograph())
        return {"photograph": len(self.photographs) - 1}

    def restore(self, asked: Obj) -> Obj:
        """The account as it was then, as if nothing had happened since."""
        with self.sim.lock:
            self.sim.store.restore(self.photographs[int(asked["number"])])
            self.sim.owed.clear()
            for one in self.sim.store.scan("_delivery", state="due"):
                self.sim.owed[one["id"]] = None
        return {"photograph": int(asked["number"])}

    def reset(self, _: Obj) -> Obj:
        """An empty account again; the endpoints of the command line stay, nothing is on its way."""
        with self.sim.lock:
            self.sim.store.clear()
            self.photographs.clear()
            self.sim.owed.clear()
            self.sim.violations.clear()
            self.sim.requests.clear()
            self.faults.clear()
            for url, secret in self.webhooks:
                add_endpoint(self.sim, url, secret, ["*"])
            self.sim.store.commit()
        self.courier.wait_until_home()
        return {"status": "empty"}

    def _send_directly(self, event: Obj, asked: Obj) -> Obj:
        """Post at once, with a signature of the caller's choosing, and tell the answer."""
        listeners = self.sim.store.where("webhook_endpoint", status="enabled")
        url = asked.get("url") or listeners[0]["url"]
        secrets = asked.get("secrets") or listeners[0]["_sim"]["secrets"]
        status = self.courier.send_event(
            event, url=url, secrets=secrets, timestamp=asked.get("timestamp")
        )
        return {"event": event, "status": status}

    def _route(self, method: str, path: str, act: Any) -> Route:
        async def respond(request: Request) -> Response:
            if request.client and request.client.host not in LOCAL:
                return JSONResponse({"error": {"message": "local callers only"}}, 403)
            text = await request.body()
            asked = json.loads(text) if text else {}
            asked |= {**request.query_params, **request.path_params}
            return await run_in_threadpool(self._perform, act, asked)

        return Route(path, respond, methods=[method])

    def _perform(self, act: Any, asked: Obj) -> Response:
        unlocked = act in {self.deliver, self.health, self.reset, self.restore}
        if unlocked:
            return JSONResponse(act(asked))
        with self.sim.lock:
            try:
                body, status = act(asked), 200
            except StripeError as refused:
                if not refused.keeps_changes:
                    self.sim.store.rollback()
                body, status = {"error": refused.error}, refused.status
            except Exception:
                self.sim.store.rollback()
                raise
            self.sim.store.commit()
        self.courier.wake()
        return JSONResponse(body, status)


def _target(asked: Obj, now: int) -> int:
    if "to" in asked:
        return int(asked["to"])
    if "by_seconds" in asked:
        return now + int(asked["by_seconds"])
    raise StripeError("Say where to: `to` (a Unix time) or `by_seconds`.", param="to")
