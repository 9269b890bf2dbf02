"""Group commit: what is waiting is decided in one call and made durable by one commit.

Heads that another transaction holds are skipped, so that one busy organization does not hold up
the batch; its requests wait on a second connection, one organization at a time. No transaction
here ever waits for two heads, so that none can be part of a deadlock.
"""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg
import structlog
from django.db import connection

from quotas.engine import counted, ledger, refresh
from quotas.engine.decisions import Request
from quotas.engine.lane import Call, Lane, busy, unavailable, unknown
from quotas.engine.ledger import Rows
from quotas.engine.session import Session, is_lost
from quotas.exceptions import Busy

logger = structlog.get_logger(__name__)

Requests = Sequence[Request]
Waiting = Call[Requests, list[Rows]]

LONGEST_LOCK_WAIT_SECONDS = 2.0
_PATIENT_WAIT_MS = 100
_DEADLOCK_RETRIES = 5
# Together shorter than a caller waits: a restart of PostgreSQL is survived without an error.
_RECONNECT_PAUSES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5)


def submit(requests: Requests) -> list[Rows]:
    """Decided and durable when it returns. Never call it while a transaction of yours is open:
    waiting for the writer while holding rows escapes deadlock detection (DESIGN 4.2)."""
    if connection.in_atomic_block:
        raise RuntimeError("Inside a transaction the verbs run on its own connection.")
    return _writer.ask(requests, size=lines_of(requests))


def begin(call: Waiting) -> None:
    """For an event loop, which must not wait: the call is finished or failed from the writer's
    thread. Raises Busy."""
    _writer.put(call)


def lines_of(requests: Requests) -> int:
    return sum(len(request.lines) for request in requests)


def _write(session: Session, calls: list[Waiting]) -> None:
    settled = list(_settled(session, calls))
    refresh.after_commit(
        [request for call, _answers in settled for request in call.asked],
        [rows for _call, answers in settled for rows in answers],
    )
    for call, answers in settled:
        late = [position for position, rows in enumerate(answers) if rows[0].outcome == "busy"]
        if late:
            _hand_over(call, answers, late)
        else:
            call.finish(answers)


def _settled(session: Session, calls: list[Waiting]) -> Iterable[tuple[Waiting, list[Rows]]]:
    """Applies all, or halves the batch until the request that cannot be applied stands alone."""
    # Consumes first, so that a batch is mostly one statement and needs no BEGIN.
    calls = sorted(calls, key=lambda call: not ledger.is_batched(call.asked))
    try:
        answers = iter(_apply(session, [request for call in calls for request in call.asked]))
    except psycopg.Error as error:
        if len(calls) > 1 and not is_lost(error):
            middle = len(calls) // 2
            yield from _settled(session, calls[:middle])
            yield from _settled(session, calls[middle:])
            return
        _fail(calls, error)
        return
    for call in calls:
        yield call, [next(answers) for _ in call.asked]


def _apply(session: Session, requests: list[Request], *, wait_ms: int = 0) -> list[Rows]:
    """Retries what retrying can mend. Re-applying after a lost connection is safe by key."""
    in_transaction = not ledger.is_one_call(requests)
    deadlocks = 0
    pauses = iter(_RECONNECT_PAUSES)
    while True:
        began = time.monotonic()
        try:
            answers = session.run(
                lambda cursor: ledger.apply(cursor, requests, wait_ms=wait_ms),
                in_transaction=in_transaction,
            )
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            deadlocks += 1
            if deadlocks > _DEADLOCK_RETRIES:
                raise
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            pause = next(pauses, None)
            if pause is None or not is_lost(error):
                raise
            logger.warning("quotas.writer_reconnects", error=str(error)[:200])
            time.sleep(pause)
        else:
            counted.batch(requests, answers, time.monotonic() - began)
            return answers


def _fail(calls: list[Waiting], error: psycopg.Error) -> None:
    if is_lost(error):
        # It may have been applied before the connection was lost; a fresh one that could never
        # be opened looks the same to the caller, and the same key tells.
        logger.error("quotas.writer_lost_postgresql", error=str(error)[:200])
    elif not isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled):
        logger.error("quotas.request_failed", error=str(error)[:500])
    for call in calls:
        call.fail(_as_domain_error(error))


def _as_domain_error(error: psycopg.Error) -> Exception:
    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled):
        return busy("The organization is busy; nothing was applied.")
    if is_lost(error):
        return unknown()
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.DiskFull):
        return unavailable()
    return error


class Late(NamedTuple):
    """Requests of one call for one organization whose head was held."""

    call: Waiting
    answers: list[Rows]
    positions: list[int]
    until: float  # monotonic


def _hand_over(call: Waiting, answers: list[Rows], positions: list[int]) -> None:
    until = time.monotonic() + LONGEST_LOCK_WAIT_SECONDS
    _put_late(Late(call, answers, positions, until))


def _put_late(late: Late) -> None:
    try:
        _patient.put(Call(late))
    except Busy:
        late.call.finish(late.answers)  # answered `busy`, each


def _wait_for_heads(session: Session, calls: "list[Call[Late, None]]") -> None:
    """One organization per transaction. A wait is short and repeated, so that an organization
    held for long by somebody's transaction does not make the others wait behind it."""
    for organization, places in _by_organization(calls).items():
        requests = [late.call.asked[position] for late, position in places]
        try:
            rows = _apply(session, requests, wait_ms=_PATIENT_WAIT_MS)
        except psycopg.errors.LockNotAvailable:
            logger.info("quotas.head_held", organization=str(organization))
        except psycopg.Error as error:
            _fail([late.call for late, _position in places if not late.call.is_over], error)
        else:
            for (late, position), answer in zip(places, rows, strict=True):
                late.answers[position] = answer
    for call in calls:
        _finish_or_repeat(call.asked)


def _by_organization(calls: "list[Call[Late, None]]") -> dict[UUID, list[tuple[Late, int]]]:
    places: dict[UUID, list[tuple[Late, int]]] = {}
    for call in calls:
        for position in call.asked.positions:
            organization = call.asked.call.asked[position].organization
            places.setdefault(organization, []).append((call.asked, position))
    return places


def _finish_or_repeat(late: Late) -> None:
    still = [p for p in late.positions if late.answers[p][0].outcome == "busy"]
    done = [p for p in late.positions if p not in still]
    refresh.after_commit([late.call.asked[p] for p in done], [late.answers[p] for p in done])
    if late.call.is_over:
        return
    if still and time.monotonic() < late.until:
        _put_late(late._replace(positions=still))
    else:
        late.call.finish(late.answers)


_writer: Lane[Requests, list[Rows]] = Lane("writer", _write)
_patient: Lane[Late, None] = Lane("patient", _wait_for_heads)
