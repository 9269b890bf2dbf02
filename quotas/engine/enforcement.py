"""The one question quotas answers: may this organization use so much of this meter, now?

Inside a transaction of the caller's every verb runs on the caller's connection and is true only
if that transaction commits. Elsewhere the writer decides, and what it answers is durable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID, uuid4

from django.db import OperationalError, connection, transaction
from psycopg import errors

from orgs.exceptions import DomainError, OrganizationNotFound
from orgs.models import Organization
from quotas.engine import asking, counters, ledger, limits, members, observing, refresh, writer
from quotas.engine.answers import REDERIVE, decisions_of
from quotas.engine.asking import Details
from quotas.engine.counters import Place
from quotas.engine.decisions import Decision, Decisions, Line, Request
from quotas.engine.lane import busy
from quotas.engine.ledger import ReadRow, Rows
from quotas.engine.reader import read_place
from quotas.engine.readings import Reading, decide
from quotas.exceptions import InvalidRequest, UnknownMeter
from quotas.models import Kind, Verb

Who = Organization | UUID

_ROUNDS = 3  # of deriving limits before a decision gives up with 503
_LOCK_WAIT_MS = 2_000
_HOLD_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Hold:
    """What `reserve` answers. `id` ends it; None where nothing was held."""

    decision: Decision
    id: str | None


# --- Verbs ------------------------------------------------------------------------------------


def check(organization: Who, meter: str, amount: int = 1, *, member: str = "") -> Decision:
    """What `consume` would say now, without counting. It advises; it reserves nothing."""
    return checked(_id(organization), Line(meter, amount, member))


def authorize(organization: Who, meter: str, amount: int = 1, *, member: str = "") -> Decision:
    """For work whose size is known afterwards: raises the refusal. Asks PostgreSQL, so that
    nothing in Redis can admit it."""
    return authorized(_id(organization), Line(meter, amount, member)).or_raise()


def consume(
    organization: Who,
    meter: str,
    amount: int = 1,
    *,
    idempotency_key: str,
    **details: Unpack[Details],
) -> Decision:
    """Counts, or refuses: look at `allowed`, or chain `.or_raise()`."""
    line = Line(meter, amount, details.pop("member", ""))
    request = asking.use(Verb.CONSUME, _id(organization), [line], idempotency_key, **details)
    return decided(request).lines[0]


def consume_all(
    organization: Who, lines: Sequence[Line], *, idempotency_key: str, **details: Unpack[Details]
) -> Decisions:
    """All of the lines are counted, or none (C42)."""
    return decided(asking.use(Verb.CONSUME, _id(organization), lines, idempotency_key, **details))


def record(
    organization: Who,
    meter: str,
    amount: int,
    *,
    idempotency_key: str,
    **details: Unpack[Details],
) -> Decision:
    """After the fact: always counted, beyond any limit; `occurred_at` at most 35 days back."""
    line = Line(meter, amount, details.pop("member", ""))
    request = asking.use(Verb.RECORD, _id(organization), [line], idempotency_key, **details)
    return decided(request).lines[0]


def release(organization: Who, *, idempotency_key: str) -> Decisions:
    """Undoes the consume with this key, once. Raises KeyGone where it is not retained."""
    return decided(asking.release_by_key(_id(organization), idempotency_key))


def release_amount(
    organization: Who,
    meter: str,
    amount: int,
    *,
    member: str = "",
    idempotency_key: str | None = None,
) -> Decision:
    """Gives back part of a level. Without a key of its own a repeated call releases twice."""
    line = Line(meter, amount, member)
    key = idempotency_key or uuid4().hex
    return decided(asking.release_by_amount(_id(organization), line, key)).lines[0]


def set_level(
    organization: Who, meter: str, value: int, *, observed_at: datetime, member: str = ""
) -> Decision:
    """Reconciles a level to what its keeper counted. Raises StaleObservation for an older one."""
    line = Line(meter, value, member)
    return decided(asking.level(_id(organization), line, observed_at)).lines[0]


def reserve(
    organization: Who,
    meter: str,
    amount: int,
    *,
    idempotency_key: str,
    expires_in: int = _HOLD_SECONDS,
    **details: Unpack[Details],
) -> Hold:
    """Holds part of the allowance for `expires_in` seconds; ends by commit, void or expiry."""
    if type(expires_in) is not int or expires_in < 1:
        raise InvalidRequest("Seconds, at least 1.", field="expires_in")
    line = Line(meter, amount, details.pop("member", ""))
    request = asking.use(
        Verb.RESERVE, _id(organization), [line], idempotency_key, seconds=expires_in, **details
    )
    return hold_of(decided(request).lines[0])


def commit(reservation: str, amount: int) -> Decision:
    """Counts what was used of a hold and frees the rest. Raises ReservationEnded."""
    return decided(asking.end_of_hold(Verb.COMMIT, reservation, amount)).lines[0]


def void(reservation: str) -> Decision:
    """Frees a hold. Raises ReservationEnded."""
    return decided(asking.end_of_hold(Verb.VOID, reservation)).lines[0]


def hold_of(decision: Decision) -> Hold:
    if not decision.allowed or decision.sequence is None:
        return Hold(decision, None)
    return Hold(decision, asking.reservation_id(decision.organization, decision.sequence))


def expiry_of(decision: Decision, seconds: int) -> datetime:
    """When a hold of so many seconds ends by itself, in the organization's own time."""
    return decision.at + timedelta(seconds=seconds)


# --- Deciding ---------------------------------------------------------------------------------


def decided(request: Request) -> Decisions:
    """Raises what the request could not be decided for; a refusal is a decision."""
    (answer,) = decide_all([request])
    if isinstance(answer, DomainError):
        raise answer
    return answer


def decide_all(requests: Sequence[Request]) -> list[Decisions | DomainError]:
    """One answer per request, in their order, one commit for all that could be decided."""
    rows = _applied(requests)
    return answered(requests, rows) or _rederived(requests, rows)


def answered(
    requests: Sequence[Request], rows: Sequence[Rows]
) -> list[Decisions | DomainError] | None:
    """What the ledger's rows say; None where the limits of one must be derived again first."""
    if any(answer[0].outcome in REDERIVE for answer in rows):
        return None
    return [decisions_of(request, answer) for request, answer in zip(requests, rows, strict=True)]


def _rederived(requests: Sequence[Request], rows: list[Rows]) -> list[Decisions | DomainError]:
    refused: dict[UUID, DomainError] = {}
    for _round in range(_ROUNDS):
        stale = [at for at, answer in enumerate(rows) if answer[0].outcome in REDERIVE]
        stale = [at for at in stale if requests[at].organization not in refused]
        if not stale:
            break
        refused |= _refresh({requests[at].organization for at in stale})
        again = _applied([requests[at] for at in stale])
        for at, answer in zip(stale, again, strict=True):
            rows[at] = answer
    return [
        refused[request.organization]
        if answer[0].outcome in REDERIVE and request.organization in refused
        else decisions_of(request, answer)
        for request, answer in zip(requests, rows, strict=True)
    ]


def _refresh(organizations: set[UUID]) -> dict[UUID, DomainError]:
    refused: dict[UUID, DomainError] = {}
    for organization in sorted(organizations):
        try:
            limits.refresh(organization)
        except OrganizationNotFound as error:
            refused[organization] = error
    return refused


def _applied(requests: Sequence[Request]) -> list[Rows]:
    if not connection.in_atomic_block:
        return writer.submit(requests)
    try:
        return _apply_here(requests)
    except OperationalError as error:
        if isinstance(error.__cause__, errors.LockNotAvailable | errors.QueryCanceled):
            raise busy("The organization is busy; nothing was applied.") from error
        raise


class _StaleError(Exception):
    def __init__(self, rows: list[Rows]) -> None:
        super().__init__()
        self.rows = rows


def _apply_here(requests: Sequence[Request]) -> list[Rows]:
    """In the caller's transaction. A stale answer's savepoint is undone, and its lock with it:
    billing locks its own row before the head, and the other order could deadlock."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            rows = ledger.apply(cursor, requests, wait_ms=_LOCK_WAIT_MS)
            _undo_if_stale(rows)
    except _StaleError as stale:
        return stale.rows
    transaction.on_commit(lambda: refresh.after_commit(requests, rows))
    return rows


def _undo_if_stale(rows: list[Rows]) -> None:
    if any(answer[0].outcome in REDERIVE for answer in rows):
        raise _StaleError(rows)


# --- Reading ----------------------------------------------------------------------------------


def checked(organization: UUID, line: Line) -> Decision:
    asking.check_line(asking.CHECK, line)
    place = (organization, line.meter, line.member)
    reading = None if connection.in_atomic_block else counters.find(place)
    return decide(reading or _read(place), organization, line)


def at_hand(organization: UUID, line: Line) -> Reading | None:
    """What `checked` would look at, when this process holds it; None where Redis or PostgreSQL
    must be asked. Outside any transaction."""
    asking.check_line(asking.CHECK, line)
    return counters.at_hand((organization, line.meter, line.member))


def authorized(organization: UUID, line: Line) -> Decision:
    asking.check_line(asking.CHECK, line)
    decision = decide(_read((organization, line.meter, line.member)), organization, line)
    if decision.allowed and decision.reason is not None:
        observing.note(
            organization,
            observing.Source.AUTHORIZE,
            line.meter,
            decision.reason,
            amount=line.amount,
        )
    return decision


def reading_of(organization: UUID, meter: str, member: str = "") -> Reading:
    """As PostgreSQL has it now."""
    return _read((organization, meter, member))


def _read(place: Place) -> Reading:
    row = _read_row(place)
    for _round in range(_ROUNDS):
        if row.outcome not in REDERIVE:
            break
        limits.refresh(place[0])
        row = _read_row(place)
    if row.reading is None:
        raise _unreadable(row.outcome)
    if row.reading.kind == Kind.ROWS:
        return row.reading.after(used=members.count(place[0]))
    if not connection.in_atomic_block:
        refresh.want(refresh.home(place, row.reading), row.reading)
    return row.reading


def _read_row(place: Place) -> ReadRow:
    if not connection.in_atomic_block:
        return read_place(place)
    with connection.cursor() as cursor:
        return ledger.read(cursor, [place])[0]


def _unreadable(outcome: str) -> DomainError:
    if outcome == "member_required":
        return InvalidRequest(
            "The limit is per member, so the member must be named.", field="member"
        )
    if outcome == "unknown_meter":
        return UnknownMeter("This plan knows no such meter.", field="meter")
    return busy("The plan is changing; nothing was decided.")


def _id(organization: Who) -> UUID:
    return organization.pk if isinstance(organization, Organization) else organization
