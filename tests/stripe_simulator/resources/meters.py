"""Billing meters, their events and sums."""

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle import metering
from tests.stripe_simulator.routing import Call, endpoint, paginate
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/billing/meters")
def create(call: Call) -> Obj:
    sim, params = call.sim, call.params
    if any(one["status"] == "active" for one in _named(call, params["event_name"])):
        raise StripeError(
            f"A meter with the event name {params['event_name']} already exists.",
            param="event_name",
        )
    mapping = params.get("customer_mapping") or {}
    values = params.get("value_settings") or {}
    meter = sim.create(
        "billing.meter",
        customer_mapping={
            "type": "by_id",
            "event_payload_key": mapping.get("event_payload_key", "stripe_customer_id"),
        },
        default_aggregation={"formula": params["default_aggregation"]["formula"]},
        display_name=params["display_name"],
        event_name=params["event_name"],
        event_time_window=params.get("event_time_window"),
        status="active",
        updated=sim.wall_now(),
        value_settings={"event_payload_key": values.get("event_payload_key", "value")},
    )
    sim.emit("billing.meter.created", meter)
    return call.shown(meter)


@endpoint("GET", "/v1/billing/meters")
def list_meters(call: Call) -> Obj:
    return call.filtered("billing.meter", "status")


@endpoint("GET", "/v1/billing/meters/{id}")
def retrieve(call: Call) -> Obj:
    return call.shown(call.sim.find("billing.meter", call.path["id"]))


@endpoint("POST", "/v1/billing/meters/{id}")
def update(call: Call) -> Obj:
    meter = call.sim.find("billing.meter", call.path["id"])
    before = {"display_name": meter["display_name"]}
    if call.params.get("display_name"):
        meter["display_name"] = call.params["display_name"]
        meter["updated"] = call.sim.wall_now()
        call.sim.emit("billing.meter.updated", meter, before)
    return call.shown(meter)


@endpoint("POST", "/v1/billing/meters/{id}/deactivate")
def deactivate(call: Call) -> Obj:
    return _switch(call, "inactive", "deactivated")


@endpoint("POST", "/v1/billing/meters/{id}/reactivate")
def reactivate(call: Call) -> Obj:
    return _switch(call, "active", "reactivated")


@endpoint("GET", "/v1/billing/meters/{id}/event_summaries")
def summaries(call: Call) -> Obj:
    meter = call.sim.find("billing.meter", call.path["id"])
    found = metering.summaries(call.sim, meter, call.params)
    return paginate(found[::-1], call.params, call.url, dict)


@endpoint("POST", "/v1/billing/meter_events")
def create_event(call: Call) -> Obj:
    return metering.record(call.sim, call.params)


@endpoint("POST", "/v1/billing/meter_event_adjustments")
def adjust(call: Call) -> Obj:
    return metering.cancel(call.sim, call.params)


def _switch(call: Call, status: str, verb: str) -> Obj:
    meter = call.sim.find("billing.meter", call.path["id"])
    meter["status"] = status
    ended = call.sim.wall_now() if status == "inactive" else None
    meter["status_transitions"]["deactivated_at"] = ended
    call.sim.emit(f"billing.meter.{verb}", meter)
    return call.shown(meter)


def _named(call: Call, name: str) -> list[Obj]:
    return call.sim.store.scan("billing.meter", event_name=name)
