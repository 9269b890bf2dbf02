"""From the ledger's rows to decisions, or to the exception that says why there is none."""

from collections.abc import Callable

from orgs.exceptions import DomainError
from quotas.engine.decisions import Decision, Decisions, Outcome, Request
from quotas.engine.lane import busy
from quotas.engine.ledger import Row, Rows
from quotas.engine.periods import ALWAYS
from quotas.exceptions import (
    IdempotencyConflict,
    InvalidRequest,
    KeyGone,
    NothingToRelease,
    ReleaseExceedsUsage,
    ReservationEnded,
    ReservationNotFound,
    StaleObservation,
    UnknownMeter,
)

DECIDED = frozenset({"applied", "replayed"})
# The limits are missing or out of date: derive them and ask again.
REDERIVE = frozenset({"rederive", "unknown_meter"})

_ERRORS: dict[str, Callable[[], DomainError]] = {
    "conflict": lambda: IdempotencyConflict("This key was used for another request."),
    "busy": lambda: busy("The organization is busy; nothing was applied."),
    "rederive": lambda: busy("The plan is changing; nothing was applied."),
    "unknown_meter": lambda: UnknownMeter("This plan knows no such meter.", field="meter"),
    "member_required": lambda: InvalidRequest(
        "The limit is per member, so the member must be named.", field="member"
    ),
    "too_old": lambda: InvalidRequest("At most 35 days back.", field="occurred_at"),
    "too_far": lambda: InvalidRequest("At most 5 minutes ahead.", field="occurred_at"),
    "out_of_range": lambda: InvalidRequest("The sum would pass 10^15.", field="amount"),
    "key_gone": lambda: KeyGone(
        "No consume with this key is kept any more. Release by amount instead."
    ),
    "not_consumed": lambda: NothingToRelease("The consume with this key counted nothing."),
    "release_exceeds_usage": lambda: ReleaseExceedsUsage("More would be released than is used."),
    "stale_observation": lambda: StaleObservation("A later observation is known already."),
    "observed_too_far": lambda: InvalidRequest("At most 5 minutes ahead.", field="observed_at"),
    "reservation_not_found": lambda: ReservationNotFound("There is no such reservation."),
    "reservation_ended": lambda: ReservationEnded(
        "The reservation was committed, voided or has expired."
    ),
    "exceeds_hold": lambda: InvalidRequest(
        "More than was reserved. Commit the hold and record the rest.", field="amount"
    ),
}


def decisions_of(request: Request, rows: Rows) -> Decisions | DomainError:
    """The error is returned, not raised: in a batch the other requests have answers."""
    outcome = rows[0].outcome
    if outcome not in DECIDED:
        return _ERRORS[outcome]()
    return Decisions(tuple(_decision(request, row, at) for at, row in enumerate(rows)))


def _decision(request: Request, row: Row, position: int) -> Decision:
    line = request.lines[min(position, len(request.lines) - 1)]
    return Decision(
        organization=request.organization,
        meter=row.meter or line.meter,
        member=row.member or line.member,
        amount=line.amount,
        outcome=Outcome.ALLOWED if row.accepted else Outcome.DENIED,
        reason=row.reason,
        plan=row.plan,
        used=row.used,
        held=row.held,
        limit=row.allowance,
        remaining=row.remaining,
        overage=row.overage,
        resets_at=None if row.period_end == ALWAYS.end else row.period_end,
        enforcement=row.enforcement,
        at=row.occurred_at,
        sequence=row.sequence,
        replayed=row.outcome == "replayed",
        late=row.late,
    )
