"""A connection of the engine's own: one per lane and process, outside Django's pool."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
import structlog
from django.conf import settings
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from quotas.engine import clock

logger = structlog.get_logger(__name__)

T = TypeVar("T")

Cursor = psycopg.Cursor[tuple[Any, ...]]

_SETTINGS: Final = """
SET statement_timeout = '2s';
SET lock_timeout = '2s';
SET idle_in_transaction_session_timeout = '5s';
SET timezone = 'UTC'
"""
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)
# OperationalErrors that PostgreSQL itself answered: the connection is as good as before.
_ANSWERED = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DiskFull,
)


class UnsafeDurability(RuntimeError):
    """`synchronous_commit = off` loses acknowledged commits in a crash (C31)."""


class Session:
    """Connects when first used and again after a loss. Used by one thread alone."""

    def __init__(self, name: str, alias: str = "default") -> None:
        self._name = name
        self._alias = alias
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def run(self, work: Callable[[Cursor], T], *, in_transaction: bool = False) -> T:
        """Raises psycopg's errors; after a lost connection the next call reconnects."""
        connection = self._connected()
        try:
            if in_transaction:
                with connection.transaction(), connection.cursor(binary=True) as cursor:
                    return work(cursor)
            with connection.cursor(binary=True) as cursor:
                return work(cursor)
        except _LOST as error:
            if is_lost(error):
                self.close()
            raise

    def read(self, work: Callable[[Cursor], T]) -> T:
        """Work that may run twice. A connection that was lost while nobody used it (PostgreSQL was
        restarted) is replaced before anyone is told."""
        was_open = self._connection is not None
        try:
            return self.run(work)
        except _LOST as error:
            if not (was_open and is_lost(error)):
                raise
        return self.run(work)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> "psycopg.Connection[tuple[Any, ...]] | None":
        """After a fork the socket is the parent's: it must be neither used nor closed here."""
        connection, self._connection = self._connection, None
        return connection

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        parameters = connections[self._alias].get_connection_params()
        for name in ("cursor_factory", "context", "prepare_threshold", "client_encoding"):
            parameters.pop(name, None)
        if settings.DATABASE_DIRECT_URL:  # a pooler would share our SETs with others
            parameters |= conninfo_to_dict(settings.DATABASE_DIRECT_URL)
        parameters["application_name"] = f"ledgerline-{self._name}"
        parameters.setdefault("connect_timeout", 2)
        connection = psycopg.connect(**parameters, autocommit=True)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """A restart of PostgreSQL may have changed its settings, so every connection asks again."""
    connection.execute(_SETTINGS)
    rows = connection.execute("SELECT current_setting('synchronous_commit'), clock_timestamp()")
    for durability, database_now in rows:
        if durability == "off":
            raise UnsafeDurability("PostgreSQL runs with synchronous_commit = off")
        clock.calibrate(database_now)


def is_lost(error: BaseException) -> bool:
    """Whether the answer may be on its way to nobody: the outcome is unknown."""
    return isinstance(error, _LOST) and not isinstance(error, _ANSWERED)
