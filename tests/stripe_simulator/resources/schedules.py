"""Subscription schedules."""

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import schedules
from tests.stripe_simulator.routing import Call, endpoint
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/subscription_schedules")
def create(call: Call) -> Obj:
    key = call.params.get("from_subscription")
    if not key:
        raise StripeError(
            "The simulator makes schedules from subscriptions only.",
            status=501,
            param="from_subscription",
        )
    subscription = call.sim.find("subscription", key, "from_subscription")
    return call.shown(schedules.from_subscription(call.sim, subscription, call.params))


@endpoint("GET", "/v1/subscription_schedules")
def list_schedules(call: Call) -> Obj:
    return call.filtered("subscription_schedule", "customer")


@endpoint("GET", "/v1/subscription_schedules/{schedule}")
def retrieve(call: Call) -> Obj:
    return call.shown(_schedule(call))


@endpoint("POST", "/v1/subscription_schedules/{schedule}")
def update(call: Call) -> Obj:
    schedule = _schedule(call)
    schedules.update(call.sim, schedule, call.params)
    return call.shown(schedule)


@endpoint("POST", "/v1/subscription_schedules/{schedule}/release")
def release(call: Call) -> Obj:
    schedule = _schedule(call)
    schedules.release(call.sim, schedule)
    return call.shown(schedule)


@endpoint("POST", "/v1/subscription_schedules/{schedule}/cancel")
def cancel(call: Call) -> Obj:
    schedule = _schedule(call)
    schedules.cancel(call.sim, schedule, call.params)
    return call.shown(schedule)


def _schedule(call: Call) -> Obj:
    return call.sim.find("subscription_schedule", call.path["schedule"])
