"""Credit notes."""

from tests.stripe_simulator import rendering
from tests.stripe_simulator.lifecycle import credit_notes
from tests.stripe_simulator.routing import Call, assign, endpoint, paginate
from tests.stripe_simulator.store import Obj


@endpoint("POST", "/v1/credit_notes")
def create(call: Call) -> Obj:
    return call.shown(credit_notes.issue(call.sim, call.params))


@endpoint("GET", "/v1/credit_notes")
def list_notes(call: Call) -> Obj:
    return call.filtered("credit_note", "customer", "invoice")


@endpoint("GET", "/v1/credit_notes/preview")
def preview(call: Call) -> Obj:
    return rendering.render(call.sim, credit_notes.draft(call.sim, call.params))


@endpoint("GET", "/v1/credit_notes/{id}")
def retrieve(call: Call) -> Obj:
    return call.shown(call.sim.find("credit_note", call.path["id"]))


@endpoint("POST", "/v1/credit_notes/{id}")
def update(call: Call) -> Obj:
    note = call.sim.find("credit_note", call.path["id"])
    previous = assign(note, call.params, "memo")
    if previous:
        call.sim.emit("credit_note.updated", note, previous)
    return call.shown(note)


@endpoint("POST", "/v1/credit_notes/{id}/void")
def void(call: Call) -> Obj:
    note = call.sim.find("credit_note", call.path["id"])
    credit_notes.void(call.sim, note)
    return call.shown(note)


@endpoint("GET", "/v1/credit_notes/{credit_note}/lines")
def lines(call: Call) -> Obj:
    note = call.sim.find("credit_note", call.path["credit_note"])
    return paginate(note["lines"]["data"], call.params, call.url, dict)
