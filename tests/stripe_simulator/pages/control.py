"""The simulator's own page: its clocks, its cards, its deliveries, its event log."""

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.responses import Response

from tests.stripe_simulator.delivery import MODES, Courier
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import cards, scheduler, standing
from tests.stripe_simulator.pages.site import Page, Visit, html, redirect
from tests.stripe_simulator.periods import moment
from tests.stripe_simulator.simulator import DAY, HOUR, Simulator
from tests.stripe_simulator.store import Obj

SHOWN_EVENTS = 60
SHOWN_CUSTOMERS = 25
HINTS = {
    "normal": "Events leave at once, in order.",
    "hold": "Events wait until they are let go.",
    "shuffle": "Events leave in any order.",
    "double": "Every event is sent twice.",
    "drop": "Events are lost; only the event list knows them.",
}


def page_for(courier: Courier) -> Page:
    """The page needs the courier, which holds and releases deliveries."""

    def show(sim: Simulator, visit: Visit) -> Response:
        chosen = visit.query.get("customer") or visit.form.get("customer") or ""
        if visit.method == "GET":
            return _page(sim, courier, chosen)
        try:
            _act(sim, courier, visit.form)
        except StripeError as refused:
            sim.store.rollback()
            return _page(sim, courier, chosen, error=str(refused))
        return redirect("/_sim/?" + urlencode({"customer": chosen}) if chosen else "/_sim/")

    return show


def _act(sim: Simulator, courier: Courier, form: dict[str, str]) -> None:
    act = form.get("act", "")
    if act == "mode" and form.get("mode") in MODES:
        courier.set_mode(form["mode"])
    elif act == "let_go":
        courier.let_go(shuffle=bool(form.get("shuffle")), double=bool(form.get("double")))
    elif act == "resend":
        courier.resend(form.get("event", ""))
    elif act == "card":
        customer = sim.find_live("customer", form.get("customer", ""))
        customer["_sim"]["card_behaviour"] = form.get("behaviour") or None
    elif act in _MOVES:
        _move(sim, form, _MOVES[act])
    else:
        raise StripeError("The page sent nothing that the simulator knows.")


def _move(sim: Simulator, form: dict[str, str], target: Callable[..., int]) -> None:
    customer = sim.find_live("customer", form.get("customer", ""))
    if customer["test_clock"] is None:
        raise StripeError("This customer lives by the wall clock.")
    clock = sim.find("test_helpers.test_clock", customer["test_clock"])
    to = target(sim, customer, clock["frozen_time"], form)
    scheduler.advance(sim, clock, max(to, clock["frozen_time"]))


def _by_hour(_: Simulator, __: Obj, now: int, ___: dict[str, str]) -> int:
    return now + HOUR


def _by_day(_: Simulator, __: Obj, now: int, ___: dict[str, str]) -> int:
    return now + DAY


def _to_renewal(sim: Simulator, customer: Obj, _: int, __: dict[str, str]) -> int:
    """Just past the boundary and the hour after which the draft is charged."""
    running = _running(sim, customer)
    if not running:
        raise StripeError("There is no running subscription.")
    return standing.period_of(sim, running[0])[1] + HOUR


def _to_trial_end(sim: Simulator, customer: Obj, _: int, __: dict[str, str]) -> int:
    for subscription in _running(sim, customer):
        if subscription["status"] == "trialing":
            return int(subscription["trial_end"]) + HOUR
    raise StripeError("There is no trial.")


def _to_grace_end(sim: Simulator, customer: Obj, _: int, form: dict[str, str]) -> int:
    """So many days after the oldest open invoice was finalized: the application's own rule."""
    opened = [
        invoice["status_transitions"]["finalized_at"]
        for invoice in sim.store.scan("invoice", customer=customer["id"], status="open")
    ]
    if not opened:
        raise StripeError("No invoice is open.")
    return int(min(opened)) + int(form.get("days") or 3) * DAY


_MOVES: dict[str, Callable[..., int]] = {
    "hour": _by_hour,
    "day": _by_day,
    "renewal": _to_renewal,
    "trial_end": _to_trial_end,
    "grace_end": _to_grace_end,
}


def _page(sim: Simulator, courier: Courier, chosen: str, *, error: str | None = None) -> Response:
    customers = [one for one in sim.store.scan("customer") if not one.get("deleted")]
    if chosen:
        customers = [one for one in customers if one["id"] == chosen]
    return html(
        "control.html",
        400 if error else 200,
        behaviours=cards.BEHAVIOURS,
        chosen=chosen,
        customers=[_customer_row(sim, one) for one in customers[::-1][:SHOWN_CUSTOMERS]],
        error=error,
        events=_event_rows(sim, chosen),
        hidden=max(0, len(customers) - SHOWN_CUSTOMERS),
        hints=HINTS,
        mode=courier.mode,
        modes=MODES,
        violations=sim.violations,
        waiting=courier.waiting(),
    )


def _customer_row(sim: Simulator, customer: Obj) -> Obj:
    running = _running(sim, customer)
    return {
        "id": customer["id"],
        "name": customer["name"] or customer["email"] or customer["id"],
        "email": customer["email"],
        "has_clock": customer["test_clock"] is not None,
        "now": _written(sim.now(customer)),
        "behaviour": customer["_sim"].get("card_behaviour"),
        "is_trial": any(one["status"] == "trialing" for one in running),
        "is_owing": bool(sim.store.scan("invoice", customer=customer["id"], status="open")),
        "subscriptions": [
            {
                "id": one["id"],
                "status": one["status"],
                "end": _written(standing.period_of(sim, one)[1]),
            }
            for one in running
        ],
    }


def _event_rows(sim: Simulator, customer: str) -> list[Obj]:
    """The newest events with what became of each delivery."""
    rows: list[Obj] = []
    owed: dict[str, list[Obj]] = {}
    for one in sim.store.scan("_delivery"):
        owed.setdefault(one["event"], []).append(one)
    for event in reversed(sim.store.scan("event")):
        subject = event["data"]["object"]
        if customer and customer not in {subject.get("id"), subject.get("customer")}:
            continue
        rows.append(
            {
                "id": event["id"],
                "type": event["type"],
                "subject": subject.get("id", ""),
                "at": _written(event["created"]),
                "delivery": _delivery_of(owed.get(event["id"], [])),
            }
        )
        if len(rows) == SHOWN_EVENTS:
            break
    return rows


def _delivery_of(owed: list[Obj]) -> str:
    if not owed:
        return "nobody listens"
    tries = sum(len(one["attempts"]) for one in owed)
    states = {one["state"] for one in owed}
    if states == {"done"}:
        return f"delivered ({tries}x)"
    if "dropped" in states:
        return "dropped"
    return "waiting" if tries == 0 else f"refused, tried {tries}x"


def _running(sim: Simulator, customer: Obj) -> list[Obj]:
    return [
        one
        for one in sim.store.scan("subscription", customer=customer["id"])
        if one["status"] not in standing.ENDED
    ]


def _written(timestamp: int) -> str:
    return moment(timestamp).strftime("%d %b %Y %H:%M UTC")
