"""Test clocks: a time of one's own for some customers."""

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import scheduler, standing
from tests.stripe_simulator.resources.catalog import bury
from tests.stripe_simulator.routing import Call, endpoint
from tests.stripe_simulator.simulator import DAY
from tests.stripe_simulator.store import Obj

# Stripe: a clock moves by at most two intervals of its shortest subscription, or two years.
LONGEST_ADVANCE = 2 * 366 * DAY


@endpoint("POST", "/v1/test_helpers/test_clocks")
def create(call: Call) -> Obj:
    clock = call.sim.create(
        "test_helpers.test_clock",
        created=call.sim.wall_now(),
        deletes_after=call.sim.wall_now() + 30 * DAY,
        frozen_time=call.params["frozen_time"],
        name=call.params.get("name"),
        status="ready",
        status_details={},
    )
    call.sim.emit("test_helpers.test_clock.created", clock)
    return call.shown(clock)


@endpoint("GET", "/v1/test_helpers/test_clocks")
def list_clocks(call: Call) -> Obj:
    return call.filtered("test_helpers.test_clock")


@endpoint("GET", "/v1/test_helpers/test_clocks/{test_clock}")
def retrieve(call: Call) -> Obj:
    return call.shown(_clock(call))


@endpoint("POST", "/v1/test_helpers/test_clocks/{test_clock}/advance")
def advance(call: Call) -> Obj:
    clock = _clock(call)
    if call.params["frozen_time"] - clock["frozen_time"] > LONGEST_ADVANCE:
        raise StripeError(
            "You cannot advance a test clock by more than two years at once.",
            param="frozen_time",
        )
    scheduler.advance(call.sim, clock, call.params["frozen_time"])
    return call.shown(clock)


@endpoint("DELETE", "/v1/test_helpers/test_clocks/{test_clock}")
def delete(call: Call) -> Obj:
    """Its customers go with it."""
    sim, clock = call.sim, _clock(call)
    for customer in sim.store.where("customer", test_clock=clock["id"]):
        for subscription in sim.store.where("subscription", customer=customer["id"]):
            if subscription["status"] not in standing.ENDED:
                standing.cancel(sim, subscription, "cancellation_requested")
        bury(customer)
    sim.emit("test_helpers.test_clock.deleted", clock)
    return bury(clock)


def _clock(call: Call) -> Obj:
    return call.sim.find_live("test_helpers.test_clock", call.path["test_clock"])
