"""What a statement of the ledger costs: the pages of shared memory that PostgreSQL touches."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from quotas.engine.ledger import Executes


class _CaughtError(Exception):
    """The statement that would have left."""

    def __init__(self, query: str, params: Sequence[Any]) -> None:
        super().__init__()
        self.statement = (query, params)


class _Catcher:
    def execute(self, query: Any, params: Sequence[Any] | None = None) -> NoReturn:
        raise _CaughtError(query, params or ())

    def fetchall(self) -> list[Any]:
        return []


def buffers(cursor: Any, call: Callable[[Executes], Any]) -> int:
    """Runs the one statement that `call` sends to its cursor, and counts pages hit or read."""
    query, params = _statement(call)
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", params)
    (found,) = cursor.fetchone()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    pages: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return pages


def _statement(call: Callable[[Executes], Any]) -> tuple[str, Sequence[Any]]:
    try:
        call(_Catcher())
    except _CaughtError as caught:
        return caught.statement
    raise AssertionError("nothing was sent")
