"""Subscription schedules: what a subscription becomes later, phase by phase."""

from typing import Any

from stripe import SubscriptionSchedule

from tests.stripe_simulator.errors import StripeError, missing, required
from tests.stripe_simulator.lifecycle import changes, standing
from tests.stripe_simulator.periods import add_interval
from tests.stripe_simulator.routing import metadata_of
from tests.stripe_simulator.shapes import blank, merge
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

OPEN = {"active", "not_started"}


def from_subscription(sim: Simulator, subscription: Obj, params: Obj) -> Obj:
    """A schedule whose first phase is what the subscription is now."""
    if subscription["schedule"]:
        raise StripeError(
            "You cannot migrate a subscription that is already attached to a schedule: "
            f"`{subscription['schedule']}`."
        )
    begin, end = standing.period_of(sim, subscription)
    schedule = sim.create(
        "subscription_schedule",
        billing_mode={"type": "flexible"},
        created=sim.now(subscription),
        customer=subscription["customer"],
        default_settings={"invoice_settings": {"issuer": {"type": "self"}}},
        end_behavior="release",
        metadata=metadata_of(params),
        status="active",
        subscription=subscription["id"],
        test_clock=subscription["test_clock"],
    )
    items = [
        {"price": item["price"], "quantity": item.get("quantity")}
        for item in standing.items_of(sim, subscription)
    ]
    now = {"discounts": [{"discount": key} for key in subscription["discounts"]]}
    schedule["phases"] = [_phase(subscription["currency"], items, begin, end, now)]
    schedule["current_phase"] = {"start_date": begin, "end_date": end}
    schedule["_sim"] = {"applied": begin}
    subscription["schedule"] = schedule["id"]
    sim.emit("subscription_schedule.created", schedule)
    return schedule


def update(sim: Simulator, schedule: Obj, params: Obj) -> None:
    """Write the phases anew; the running one must stay where it began."""
    _check_open(schedule)
    if "end_behavior" in params:
        schedule["end_behavior"] = params["end_behavior"]
    if "metadata" in params:
        schedule["metadata"] = metadata_of(params)
    if "phases" in params:
        subscription = sim.find("subscription", schedule["subscription"])
        schedule["phases"] = read_phases(sim, subscription, params["phases"])
        _set_current(schedule, sim.now(subscription))
    sim.emit("subscription_schedule.updated", schedule)


def read_phases(sim: Simulator, subscription: Obj, sent: list[Obj]) -> list[Obj]:
    phases: list[Obj] = []
    begin = standing.period_of(sim, subscription)[0]
    for index, one in enumerate(sent):
        start = one.get("start_date", begin)
        start = sim.now(subscription) if start == "now" else int(start)
        items = _items(sim, one, index)
        end = _end(sim, items, start, one)
        phases.append(_phase(subscription["currency"], items, start, end, one))
        begin = end
    return phases


def release(sim: Simulator, schedule: Obj) -> None:
    """The subscription goes on by itself as it is."""
    _check_open(schedule)
    subscription = sim.find("subscription", schedule["subscription"])
    schedule |= {
        "status": "released",
        "released_at": sim.now(subscription),
        "released_subscription": subscription["id"],
        "subscription": None,
        "current_phase": None,
    }
    subscription["schedule"] = None
    sim.emit("subscription_schedule.released", schedule)


def cancel(sim: Simulator, schedule: Obj, params: Obj) -> None:
    """End the schedule and its subscription now."""
    _check_open(schedule)
    subscription = sim.find("subscription", schedule["subscription"])
    schedule |= {
        "status": "canceled",
        "canceled_at": sim.now(subscription),
        "current_phase": None,
    }
    subscription["schedule"] = None
    sim.emit("subscription_schedule.canceled", schedule)
    if subscription["status"] not in standing.ENDED:
        changes.cancel_now(sim, subscription, params)


def next_turn(schedule: Obj) -> int | None:
    """When the next phase begins, or the last one ends."""
    if schedule["status"] not in OPEN:
        return None
    applied = schedule["_sim"]["applied"]
    for phase in schedule["phases"]:
        if phase["start_date"] > applied:
            return int(phase["start_date"])
    return int(schedule["phases"][-1]["end_date"])


def turn(sim: Simulator, schedule: Obj) -> None:
    """Apply the phase that begins now; after the last one, let the subscription go."""
    subscription = sim.find("subscription", schedule["subscription"])
    now = sim.now(subscription)
    applied = schedule["_sim"]["applied"]
    for phase in schedule["phases"]:
        if phase["start_date"] > applied and phase["start_date"] <= now:
            schedule["_sim"]["applied"] = phase["start_date"]
            _apply(sim, subscription, phase)
            _set_current(schedule, now)
            sim.emit("subscription_schedule.updated", schedule)
            return
    if schedule["end_behavior"] == "cancel":
        schedule |= {"status": "completed", "completed_at": now, "current_phase": None}
        subscription["schedule"] = None
        sim.emit("subscription_schedule.completed", schedule)
        standing.cancel(sim, subscription, "cancellation_requested")
    else:
        release(sim, schedule)


def _apply(sim: Simulator, subscription: Obj, phase: Obj) -> None:
    """Make the subscription's items those of the phase."""
    current = standing.items_of(sim, subscription)
    wanted: list[Obj] = []
    left = list(current)
    for item in phase["items"]:
        there = _counterpart(sim, item, left)
        if there is not None:
            left.remove(there)
        wanted.append({**({"id": there["id"]} if there else {}), **_priced(item)})
    wanted += [{"id": there["id"], "deleted": True} for there in left]
    # At the edge of a period nothing is left to prorate: the renewal bills the new phase.
    at_edge = standing.period_of(sim, subscription)[1] <= sim.now(subscription)
    asked: Obj = {
        "items": wanted,
        "proration_behavior": "none" if at_edge else phase["proration_behavior"],
    }
    if at_edge:
        changes.replace_items(sim, subscription, wanted)
    else:
        changes.update(sim, subscription, asked)
    # A phase brings its own discounts; without any, the subscription loses those it had.
    changes.set_discounts(sim, subscription, {"discounts": phase["discounts"]})
    if phase["metadata"]:
        subscription["metadata"] |= phase["metadata"]


def _counterpart(sim: Simulator, item: Obj, current: list[Obj]) -> Obj | None:
    """The item that carries the phase's price already, else one of the same product or kind."""
    wanted = sim.find("price", item["price"])
    ranked = {id(there): _likeness(sim, wanted, there) for there in current}
    best = max(current, key=lambda there: ranked[id(there)], default=None)
    return best if best is not None and ranked[id(best)] else None


def _likeness(sim: Simulator, wanted: Obj, there: Obj) -> int:
    price = sim.find("price", there["price"])
    if price["recurring"]["usage_type"] != wanted["recurring"]["usage_type"]:
        return 0
    same_product = price["product"] == wanted["product"]
    return 3 if price["id"] == wanted["id"] else 2 if same_product else 1


def _priced(item: Obj) -> Obj:
    found: Obj = {"price": item["price"]}
    if item.get("quantity") is not None:
        found["quantity"] = item["quantity"]
    return found


def _phase(currency: str, items: list[Obj], start: int, end: int, sent: Obj) -> Obj:
    phase = blank(SubscriptionSchedule.Phase)
    phase |= {
        "add_invoice_items": [],
        "currency": currency,
        "default_tax_rates": [],
        "discounts": [
            {"coupon": None, "discount": None, "promotion_code": None, **one}
            for one in sent.get("discounts") or []
        ],
        "end_date": end,
        "items": [_phase_item(item) for item in items],
        "metadata": metadata_of(sent),
        "proration_behavior": sent.get("proration_behavior", "create_prorations"),
        "start_date": start,
    }
    return phase


def _phase_item(item: Obj) -> Obj:
    shown = blank(SubscriptionSchedule.Phase.Item)
    merge(shown, {"price": item["price"], "plan": item["price"], "metadata": {}, "tax_rates": []})
    if item.get("quantity") is None:
        shown.pop("quantity")
    else:
        shown["quantity"] = item["quantity"]
    return shown


def _items(sim: Simulator, sent: Obj, index: int) -> list[Obj]:
    items = []
    for position, item in enumerate(sent.get("items") or []):
        key = item.get("price")
        at = f"phases[{index}][items][{position}][price]"
        if not key:
            raise required(at)
        price = sim.find("price", key, at)
        metered = price["recurring"]["usage_type"] == "metered"
        items.append({"price": key, "quantity": None if metered else item.get("quantity", 1)})
    if not items:
        raise required(f"phases[{index}][items]")
    return items


def _end(sim: Simulator, items: list[Obj], start: int, sent: Obj) -> int:
    """A given end, a duration, or one billing interval."""
    wanted: Any = sent.get("end_date")
    if wanted == "now":
        raise StripeError("A phase cannot end now.", param="phases")
    if isinstance(wanted, int):
        return wanted
    recurring = sim.find("price", items[0]["price"])["recurring"]
    duration = sent.get("duration")
    if duration:
        recurring = {"interval_count": 1, **duration}
    return add_interval(start, recurring)


def _set_current(schedule: Obj, now: int) -> None:
    schedule["current_phase"] = None
    for phase in schedule["phases"]:
        if phase["start_date"] <= now < phase["end_date"]:
            schedule["current_phase"] = {
                "start_date": phase["start_date"],
                "end_date": phase["end_date"],
            }


def _check_open(schedule: Obj) -> None:
    if schedule["status"] not in OPEN or schedule["subscription"] is None:
        raise missing("subscription_schedule", schedule["id"])
