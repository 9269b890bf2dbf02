"""Reports may read from a copy of the database, a little behind. Nothing that decides ever does."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

import structlog
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections

logger = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

ALIAS: Final = "replica"
MOST_BEHIND_SECONDS: Final = 300.0  # an older copy is left alone: the database itself answers

_reading: ContextVar[bool] = ContextVar("reading_from_the_replica", default=False)

# The age of the last commit that arrived: an upper bound, and close while beat writes every 30 s.
_BEHIND: Final = """
SELECT CASE WHEN pg_is_in_recovery()
       THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) ELSE 0 END
"""


class Router:
    """Only there where DATABASE_REPLICA_URL is set."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return alias()

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == DEFAULT_DB_ALIAS


def alias() -> str:
    """Of the connection to read from, for SQL that is written by hand."""
    return ALIAS if _reading.get() else DEFAULT_DB_ALIAS


def report(function: Callable[P, R]) -> Callable[P, R]:
    """What it reads comes from the copy, unless there is none, or it is away or too old.

    Inside a transaction it reads there: what the caller has just written is not in the copy.
    """

    @wraps(function)
    def reported(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block or behind() is None:
            return function(*args, **kwargs)
        token = _reading.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _reading.reset(token)

    return reported


def behind() -> float | None:
    """How many seconds the copy is behind, at most; None where reports read the database itself."""
    if ALIAS not in connections.databases:
        return None
    try:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_BEHIND)
            (seconds,) = cursor.fetchone()
    except DatabaseError as error:
        logger.warning("database.replica_unavailable", error=str(error)[:200])
        return None
    if seconds is None or seconds > MOST_BEHIND_SECONDS:
        logger.warning("database.replica_too_old", seconds=seconds and float(seconds))
        return None
    return float(seconds)
