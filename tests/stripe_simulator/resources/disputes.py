"""Disputes, as the seller sees them."""

from tests.stripe_simulator.lifecycle import disputes
from tests.stripe_simulator.routing import Call, assign, endpoint
from tests.stripe_simulator.store import Obj


@endpoint("GET", "/v1/disputes")
def list_disputes(call: Call) -> Obj:
    return call.filtered("dispute", "charge", "payment_intent")


@endpoint("GET", "/v1/disputes/{dispute}")
def retrieve(call: Call) -> Obj:
    return call.shown(_dispute(call))


@endpoint("POST", "/v1/disputes/{dispute}")
def update(call: Call) -> Obj:
    dispute = _dispute(call)
    before = dispute["status"]
    assign(dispute, call.params)
    for name, value in (call.params.get("evidence") or {}).items():
        dispute["evidence"][name] = value or None
        dispute["evidence_details"]["has_evidence"] = True
    if call.params.get("submit", True) and dispute["evidence_details"]["has_evidence"]:
        dispute["status"] = "under_review"
        dispute["evidence_details"]["submission_count"] += 1
    call.sim.emit("charge.dispute.updated", dispute, {"status": before})
    return call.shown(dispute)


@endpoint("POST", "/v1/disputes/{dispute}/close")
def close(call: Call) -> Obj:
    """The seller gives in: the dispute is lost."""
    dispute = _dispute(call)
    disputes.close(call.sim, dispute, won=False)
    return call.shown(dispute)


def _dispute(call: Call) -> Obj:
    return call.sim.find("dispute", call.path["dispute"])
