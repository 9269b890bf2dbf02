"""What falls due as a clock moves, in the order of its times."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import (
    checkout,
    collection,
    invoices,
    pending,
    renewal,
    schedules,
    standing,
    usage_lines,
)
from tests.stripe_simulator.lifecycle.cards import verdict_of
from tests.stripe_simulator.lifecycle.sequences import RENEWAL_PAID
from tests.stripe_simulator.lifecycle.subscriptions import TRIAL_WARNING
from tests.stripe_simulator.simulator import DAY, Simulator
from tests.stripe_simulator.store import Obj

Turn = Callable[[Simulator, Obj], None]


@dataclass(frozen=True, order=True)
class Due:
    """One thing that happens at a time; equal times happen in the order they are listed."""

    at: int
    rank: int
    key: str
    act: Callable[[], None]


def advance(sim: Simulator, clock: Obj, to: int) -> None:
    """Move a test clock forward, stopping at each thing that falls due."""
    if to < clock["frozen_time"]:
        raise StripeError(
            "Invalid frozen_time: a test clock can only be moved forward.", param="frozen_time"
        )
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": to}}
    sim.emit("test_helpers.test_clock.advancing", clock)
    for due in _all_due(sim, clock["id"], lambda: to):
        clock["frozen_time"] = max(clock["frozen_time"], due.at)
        due.act()
    clock["frozen_time"] = to
    clock["status"] = "ready"
    clock["status_details"] = {}
    sim.emit("test_helpers.test_clock.ready", clock)


def run_wall(sim: Simulator) -> bool:
    """Do what fell due for customers without a test clock; tell whether anything did."""
    done = False
    for due in _all_due(sim, None, sim.wall_now):
        due.act()
        done = True
    return done


def _all_due(sim: Simulator, clock: str | None, until: Callable[[], int]) -> Iterator[Due]:
    """One after the other, each found after the one before was done; raises if one stays due."""
    last: Due | None = None
    while due := next_due(sim, clock, until()):
        if last and (due.at, due.rank, due.key) == (last.at, last.rank, last.key):
            raise RuntimeError(f"{due.key} was done at {due.at} and is still due")
        last = due
        yield due


def next_due(sim: Simulator, clock: str | None, until: int) -> Due | None:
    """The earliest thing due on one clock (None: the wall's)."""
    found = (due for producer in PRODUCERS for due in producer(sim, clock))
    return min((due for due in found if due.at <= until), default=None)


def on_clock(sim: Simulator, kind: str, clock: str | None) -> Iterator[Obj]:
    for body in sim.store.scan(kind):
        if not body.get("deleted") and sim.clock_of(body) == clock:
            yield body


def _sessions(sim: Simulator, clock: str | None) -> Iterator[Due]:
    for session in sim.store.scan("checkout.session"):
        if session["status"] != "open":
            continue
        by_wall = session["_sim"].get("expires_by_wall")
        if clock == (None if by_wall else sim.clock_of(session)):
            yield Due(session["expires_at"], 0, session["id"], _expiry(sim, session["id"]))


def _expiry(sim: Simulator, key: str) -> Callable[[], None]:
    return lambda: checkout.expire(sim, sim.find("checkout.session", key))


def _debits(sim: Simulator, clock: str | None) -> Iterator[Due]:
    for intent in on_clock(sim, "payment_intent", clock):
        if intent["status"] == "processing":
            at = intent["_sim"]["settles_at"]
            yield Due(at, 1, intent["id"], _settlement(sim, intent["id"]))


def _settlement(sim: Simulator, key: str) -> Callable[[], None]:
    return lambda: collection.settle_debit(sim, sim.find("payment_intent", key))


def _drafts(sim: Simulator, clock: str | None) -> Iterator[Due]:
    for invoice in on_clock(sim, "invoice", clock):
        at = invoice["automatically_finalizes_at"]
        if invoice["status"] == "draft" and at is not None:
            yield Due(at, 2, invoice["id"], _finalization(sim, invoice["id"]))


def _finalization(sim: Simulator, key: str) -> Callable[[], None]:
    def act() -> None:
        invoice = sim.find("invoice", key)
        invoice["automatically_finalizes_at"] = None
        order = RENEWAL_PAID if _would_succeed(sim, invoice) else ()
        with sim.sequence(order):
            usage_lines.refresh(sim, invoice)
            invoices.finalize(sim, invoice)
            if invoice["collection_method"] == "send_invoice":
                sim.emit("invoice.sent", invoice)
            else:
                collection.collect(sim, invoice)

    return act


def _would_succeed(sim: Simulator, invoice: Obj) -> bool:
    method = collection.method_for(sim, invoice)
    return verdict_of(sim, method).status == "succeeded"


def _retries(sim: Simulator, clock: str | None) -> Iterator[Due]:
    for invoice in on_clock(sim, "invoice", clock):
        at = invoice["next_payment_attempt"]
        if invoice["status"] == "open" and at is not None:
            yield Due(at, 3, invoice["id"], _retry(sim, invoice["id"]))


def _retry(sim: Simulator, key: str) -> Callable[[], None]:
    def act() -> None:
        invoice = sim.find("invoice", key)
        invoice["next_payment_attempt"] = None
        collection.collect(sim, invoice)

    return act


def _incomplete(sim: Simulator, clock: str | None) -> Iterator[Due]:
    for subscription in on_clock(sim, "subscription", clock):
        if subscription["status"] == "incomplete" and not _is_processing(sim, subscription):
            at = subscription["created"] + collection.INCOMPLETE_LIFETIME
            yield Due(at, 4, subscription["id"], _giving_up(sim, subscription["id"]))


def _is_processing(sim: Simulator, subscription: Obj) -> bool:
    invoice = sim.find("invoice", subscription["latest_invoice"])
    intent = collection.intent_of(sim, invoice)
    return bool(intent and intent["status"] == "processing")


def _giving_up(sim: Simulator, key: str) -> Callable[[], None]:
    def act() -> None:
        subscription = sim.find("subscription", key)
        invoice = sim.find("invoice", subscription["latest_invoice"])
        invoices.void(sim, invoice)
        standing.change(
            sim, subscription, status="incomplete_expired", ended_at=sim.now(subscription)
        )

    return act


# What a subscription may be while time moves it on.
RUNNING = {"active", "past_due", "trialing", "unpaid"}


def _subscriptions(sim: Simulator, clock: str | None) -> Iterator[Due]:
    """Warnings and boundaries of running subscriptions."""
    for subscription in on_clock(sim, "subscription", clock):
        if subscription["status"] in RUNNING:
            for at, rank, act in _turns(sim, subscription):
                yield Due(at, rank, subscription["id"], _turning(sim, subscription["id"], act))


def _turns(sim: Simulator, subscription: Obj) -> Iterator[tuple[int, int, Turn]]:
    end: int = subscription["_sim"]["period"][1]
    status, stops_at = subscription["status"], subscription["cancel_at"]
    notes = subscription["_sim"]
    if status == "trialing" and notes.get("warned_of") != subscription["trial_end"]:
        at = max(subscription["trial_end"] - TRIAL_WARNING, subscription["created"])
        yield at, 0, renewal.warn_of_trial_end
    announced = notes.get("announced") == end or subscription["cancel_at_period_end"]
    if status in {"active", "past_due"} and not announced and not stops_at:
        at = end - sim.options["upcoming_days"] * DAY
        yield max(at, notes["period"][0] + 1), 0, renewal.announce_next_invoice
    if stops_at and stops_at < end:
        yield stops_at, 5, renewal.cancel_as_planned
    paused = subscription["pause_collection"]
    if paused and paused.get("resumes_at"):
        yield paused["resumes_at"], 5, renewal.unpause_collection
    yield end, 7, renewal.cross_boundary


def _turning(sim: Simulator, key: str, act: Turn) -> Callable[[], None]:
    return lambda: act(sim, sim.find("subscription", key))


def _pending(sim: Simulator, clock: str | None) -> Iterator[Due]:
    """Changes that nobody paid for."""
    for subscription in on_clock(sim, "subscription", clock):
        if subscription["pending_update"]:
            at = subscription["pending_update"]["expires_at"]
            yield Due(at, 4, subscription["id"], _turning(sim, subscription["id"], pending.forget))


def _schedules(sim: Simulator, clock: str | None) -> Iterator[Due]:
    """A phase turns just before the renewal that bills it."""
    for schedule in on_clock(sim, "subscription_schedule", clock):
        at = schedules.next_turn(schedule)
        if at is not None:
            yield Due(at, 6, schedule["id"], _phase_turn(sim, schedule["id"]))


def _phase_turn(sim: Simulator, key: str) -> Callable[[], None]:
    return lambda: schedules.turn(sim, sim.find("subscription_schedule", key))


def _overdue(sim: Simulator, clock: str | None) -> Iterator[Due]:
    for invoice in on_clock(sim, "invoice", clock):
        late = invoice["status"] == "open" and invoice["due_date"] is not None
        if late and not invoice["_sim"].get("overdue"):
            yield Due(invoice["due_date"], 3, invoice["id"], _lateness(sim, invoice["id"]))


def _lateness(sim: Simulator, key: str) -> Callable[[], None]:
    return lambda: renewal.mark_overdue(sim, sim.find("invoice", key))


PRODUCERS: list[Callable[[Simulator, str | None], Iterator[Due]]] = [
    _sessions,
    _debits,
    _drafts,
    _retries,
    _incomplete,
    _subscriptions,
    _pending,
    _schedules,
    _overdue,
]
