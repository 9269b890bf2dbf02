"""Keeps readings fresh after a commit: this process at once, Redis within some milliseconds.

A thread of its own stores readings, each place's newest only: redis-py costs more CPU per call
than a decision, and a hot organization would pay it at every commit for a value that is replaced
before anyone reads it.
"""

import os
import threading
import time
from collections.abc import Sequence
from uuid import UUID

import psycopg
import structlog

from quotas.engine import counters, ledger, meters, publishing
from quotas.engine.counters import Place
from quotas.engine.decisions import Request
from quotas.engine.ledger import Row, Rows
from quotas.engine.readings import Reading
from quotas.engine.session import Session

logger = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.03
MOST_AT_ONCE = 500


def after_commit(requests: Sequence[Request], answers: Sequence[Rows]) -> None:
    """The new numbers of everything that was applied; what is not known here yet is read later."""
    newest: dict[Place, Row] = {}
    for request, rows in zip(requests, answers, strict=True):
        for line, row in zip(_lines(request, rows), rows, strict=True):
            place = (request.organization, line[0], line[1])
            if row.outcome == "applied" and not row.late:
                newest[place] = row
            elif row.outcome == "replayed" and not _is_known(place, row):
                counters.overtake(place, row.sequence)
                _refresher.want(place, None)
    for place, row in newest.items():
        _patch(place, row)


def _is_known(place: Place, row: Row) -> bool:
    """Whether our copy is of after that row: where an answer was lost, nobody was told of it."""
    organization, meter, _member = place
    copies = (counters.last_known(home) for home in ((organization, meter, ""), place))
    return any(copy is not None and copy.sequence >= row.sequence for copy in copies)


def _lines(request: Request, rows: Rows) -> list[tuple[str, str]]:
    """A release by key, a commit and a void learn their meters from the ledger."""
    if rows[0].meter:
        return [(row.meter, row.member) for row in rows]
    return [(line.meter, line.member) for line in request.lines]


def _patch(place: Place, row: Row) -> None:
    organization, meter, _member = place
    for candidate in ((organization, meter, ""), place):
        known = counters.last_known(candidate)
        if known is None or known.per_member != bool(candidate[2]):
            continue
        if (known.limits_sequence, known.period_start) != (row.limits_sequence, row.period_start):
            break
        if known.sequence < row.sequence:
            if known.per_member and known.credits != row.credits:
                counters.outdate(organization, row.sequence)  # credits are every member's
            reading = known.after(
                sequence=row.sequence, used=row.used, held=row.held, credited=row.credited,
                overage=row.overage, credits=row.credits,
            )  # fmt: skip
            counters.keep(candidate, reading)
            _refresher.want(candidate, reading)
        return
    if place[2] and (row.credited or row.credits):
        counters.outdate(organization, row.sequence)
    counters.overtake(place, row.sequence)
    _refresher.want(place, None)


class _Refresher:
    """place → its newest reading, or None where PostgreSQL has to be asked."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._wanted: dict[Place, Reading | None] = {}
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._rounds = 0

    def want(self, place: Place, reading: Reading | None) -> None:
        with self._lock:
            self._wanted[place] = reading
        self.wake()

    def wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._start()
        if not self._something.is_set():
            self._something.set()

    def flush(self) -> None:
        """Returns when everything wanted so far is stored, or was tried where Redis is away."""
        last = self._rounds + 2  # the one that is under way may have begun too early
        while True:
            with self._lock:
                is_idle = not self._something.is_set() or self._rounds >= last
                if not self._wanted and is_idle:
                    return
            time.sleep(PAUSE_SECONDS / 3)

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._stopping = True
            self._something.set()
            thread.join()
        self.reset()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="quotas-refresh", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        session = Session("refresh")
        while not self._stopping:
            self._something.wait()
            try:
                self._store(session, self._take())
                counters.renew()
            except Exception:  # readings are a convenience and expire
                logger.warning("quotas.refresh_failed", exc_info=True)
            with self._lock:
                self._rounds += 1
                self._something.clear()
                if self._wanted or counters.is_ageing():
                    self._something.set()
            time.sleep(PAUSE_SECONDS)
        session.close()

    def _take(self) -> dict[Place, Reading | None]:
        with self._lock:
            if len(self._wanted) <= MOST_AT_ONCE:
                taken, self._wanted = self._wanted, {}
            else:
                taken = dict(list(self._wanted.items())[:MOST_AT_ONCE])
                for place in taken:
                    del self._wanted[place]
        return taken

    def _store(self, session: Session, wanted: dict[Place, Reading | None]) -> None:
        found = {place: reading for place, reading in wanted.items() if reading is not None}
        found |= _read(session, [place for place, reading in wanted.items() if reading is None])
        if found:
            counters.store(found)
            publishing.publish(session, found)


def _read(session: Session, places: list[Place]) -> dict[Place, Reading]:
    if not places:
        return {}
    try:
        rows = session.read(lambda cursor: ledger.read(cursor, places))
    except psycopg.Error:
        return {}
    return {
        home(place, row.reading): row.reading
        for place, row in zip(places, rows, strict=True)
        if row.reading is not None
    }


def home(place: Place, reading: Reading) -> Place:
    """Where a reading is kept: under the member only where the limit is per member."""
    organization, meter, member = place
    kept = (organization, meter, member if reading.per_member else "")
    counters.keep(kept, reading)
    return kept


def want(place: Place, reading: Reading) -> None:
    """A reading that was just read from PostgreSQL, for the other processes."""
    _refresher.want(place, reading)


def renew(organization: UUID) -> None:
    """After a change of limits: what others read under a key of their own is written anew."""
    for meter in meters.cache_keys():
        _refresher.want((organization, meter, ""), None)


_refresher = _Refresher()
counters.renew_with(_refresher.wake)
flush = _refresher.flush
stop = _refresher.stop

os.register_at_fork(after_in_child=_refresher.reset)
