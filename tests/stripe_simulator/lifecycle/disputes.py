"""A payer takes a payment back through the bank; the dispute is won or lost later."""

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.lifecycle.payments import record_movement
from tests.stripe_simulator.simulator import DAY, Simulator
from tests.stripe_simulator.store import Obj

ENDED = {"lost", "won"}


def open_dispute(sim: Simulator, charge: Obj, reason: str = "fraudulent") -> Obj:
    if charge["disputed"] or charge["status"] != "succeeded":
        raise StripeError("This charge cannot be disputed.")
    now = sim.now(charge)
    dispute = sim.create(
        "dispute",
        amount=charge["amount"],
        charge=charge["id"],
        created=now,
        currency=charge["currency"],
        evidence_details={"due_by": now + 9 * DAY},
        is_charge_refundable=False,
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="needs_response",
    )
    movement = record_movement(sim, dispute, "adjustment", -charge["amount"])
    dispute["balance_transactions"] = [dict(sim.find("balance_transaction", movement))]
    charge["disputed"] = True
    sim.emit("charge.dispute.created", dispute)
    sim.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close(sim: Simulator, dispute: Obj, *, won: bool) -> None:
    if dispute["status"] in ENDED:
        raise StripeError("This dispute is already closed.")
    before = {"status": dispute["status"]}
    dispute["status"] = "won" if won else "lost"
    sim.emit("charge.dispute.updated", dispute, before)
    sim.emit("charge.dispute.closed", dispute)
    if won:
        movement = record_movement(sim, dispute, "adjustment", dispute["amount"])
        dispute["balance_transactions"].append(dict(sim.find("balance_transaction", movement)))
        sim.emit("charge.dispute.funds_reinstated", dispute)
