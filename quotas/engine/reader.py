"""Readings from PostgreSQL for checks that nothing cached could answer, many in one query."""

from quotas.engine import ledger
from quotas.engine.counters import Place
from quotas.engine.lane import Call, Lane
from quotas.engine.ledger import ReadRow
from quotas.engine.session import Session


def read_place(place: Place) -> ReadRow:
    return _reader.ask(place)


def _read(session: Session, calls: "list[Call[Place, ReadRow]]") -> None:
    places = [call.asked for call in calls]
    rows = session.read(lambda cursor: ledger.read(cursor, places))
    for call, row in zip(calls, rows, strict=True):
        call.finish(row)


_reader: Lane[Place, ReadRow] = Lane("reader", _read)
