"""Meter events and what they add up to."""

import itertools
from decimal import Decimal

from tests.stripe_simulator import ids
from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.shapes import shape
from tests.stripe_simulator.simulator import DAY, Simulator
from tests.stripe_simulator.store import Obj

# Stripe: identifiers are unique for at least 24 hours; here for exactly that long.
IDENTIFIER_LIFETIME = DAY
OLDEST, NEWEST = 35 * DAY, 5 * 60
WINDOWS = {"hour": 3600, "day": DAY}


def record(sim: Simulator, params: Obj) -> Obj:
    """Take one meter event; raises Stripe's refusals."""
    meter = _meter_named(sim, params["event_name"])
    payload = params["payload"]
    customer = _customer(sim, meter, payload)
    now = sim.now(customer)
    timestamp = int(params.get("timestamp") or now)
    _check_time(timestamp, now)
    identifier = params.get("identifier") or ids.random_text(32)
    _check_identifier(sim, identifier, now)
    key = f"me_{ids.random_text(24)}"
    sim.store.add(
        "_meter_event",
        key,
        {
            "id": key,
            "canceled": False,
            "customer": customer["id"],
            "identifier": identifier,
            "meter": meter["id"],
            "seen_at": now,
            "timestamp": timestamp,
            "value": str(_value(meter, payload)),
        },
    )
    event = shape(
        "billing.meter_event",
        created=now,
        event_name=params["event_name"],
        identifier=identifier,
        timestamp=timestamp,
    )
    event["payload"] = dict(payload)
    return event


def cancel(sim: Simulator, params: Obj) -> Obj:
    """Take an event back within 24 hours of its arrival."""
    identifier = (params.get("cancel") or {}).get("identifier", "")
    meter = _meter_named(sim, params["event_name"])
    found = [
        event
        for event in sim.store.where("_meter_event", meter=meter["id"], identifier=identifier)
        if not event["canceled"]
    ]
    if not found:
        raise missing("meter_event", identifier, "cancel[identifier]")
    customer = sim.find("customer", found[-1]["customer"])
    if sim.now(customer) - found[-1]["seen_at"] > DAY:
        raise StripeError("Meter events can only be canceled within 24 hours.")
    found[-1]["canceled"] = True
    return shape(
        "billing.meter_event_adjustment",
        cancel={"identifier": identifier},
        event_name=params["event_name"],
        status="complete",
        type="cancel",
    )


def usage(sim: Simulator, meter: str, customer: str, start: int, end: int) -> Decimal:
    """The meter's aggregate over a half-open interval."""
    found = [
        event
        for event in sim.store.scan("_meter_event", meter=meter, customer=customer)
        if not event["canceled"] and start <= event["timestamp"] < end
    ]
    match sim.find("billing.meter", meter)["default_aggregation"]["formula"]:
        case "count":
            return Decimal(len(found))
        case "last":
            latest = max(found, key=lambda event: int(event["timestamp"]), default=None)
            return Decimal(latest["value"]) if latest else Decimal(0)
        case _:
            return sum((Decimal(event["value"]) for event in found), Decimal(0))


def summaries(sim: Simulator, meter: Obj, params: Obj) -> list[Obj]:
    """One sum over the whole range, or one per hour or day; bounds must lie on their edges."""
    start, end = int(params["start_time"]), int(params["end_time"])
    window = params.get("value_grouping_window")
    step = WINDOWS[window] if window else 60
    if start % step or end % step or start >= end:
        raise StripeError(
            f"start_time and end_time must be aligned with {window or 'minute'} boundaries.",
            param="start_time",
        )
    edges = [*range(start, end, step), end] if window else [start, end]
    return [
        shape(
            "billing.meter_event_summary",
            id=ids.new_id("billing.meter_event_summary"),
            aggregated_value=float(usage(sim, meter["id"], params["customer"], begin, finish)),
            end_time=finish,
            meter=meter["id"],
            start_time=begin,
        )
        for begin, finish in itertools.pairwise(edges)
    ]


def _meter_named(sim: Simulator, name: str) -> Obj:
    for meter in sim.store.scan("billing.meter", event_name=name):
        if meter["status"] == "active":
            return meter
        raise StripeError(f"The meter for {name} is inactive.", code="archived_meter")
    raise StripeError(
        f"No meter found with event_name: {name}.", code="no_meter", param="event_name"
    )


def _customer(sim: Simulator, meter: Obj, payload: Obj) -> Obj:
    field = meter["customer_mapping"]["event_payload_key"]
    if field not in payload:
        raise StripeError(f"The payload must have {field}.", code="meter_event_no_customer_defined")
    customer = sim.store.peek("customer", payload[field])
    if customer is None or customer.get("deleted"):
        raise StripeError(
            f"No such customer: '{payload[field]}'",
            code="meter_event_customer_not_found",
            param=f"payload[{field}]",
        )
    return customer


def _value(meter: Obj, payload: Obj) -> Decimal:
    if meter["default_aggregation"]["formula"] == "count":
        return Decimal(1)
    field = meter["value_settings"]["event_payload_key"]
    text = str(payload.get(field, ""))
    if not text.removeprefix("-").replace(".", "", 1).isdigit():
        raise StripeError(
            f"The payload's {field} must be a number.",
            code="meter_event_invalid_value",
            param=f"payload[{field}]",
        )
    return Decimal(text)


def _check_time(timestamp: int, now: int) -> None:
    if timestamp < now - OLDEST:
        raise StripeError(
            "The timestamp must be within the past 35 days.",
            code="timestamp_too_far_in_past",
            param="timestamp",
        )
    if timestamp > now + NEWEST:
        raise StripeError(
            "The timestamp must be at most 5 minutes in the future.",
            code="timestamp_in_future",
            param="timestamp",
        )


def _check_identifier(sim: Simulator, identifier: str, now: int) -> None:
    for event in sim.store.scan("_meter_event", identifier=identifier):
        if now - event["seen_at"] < IDENTIFIER_LIFETIME:
            raise StripeError(
                f"An event already exists with identifier {identifier}.",
                code="duplicate_meter_event",
                param="identifier",
            )
