"""Where a text could have been left behind: every column, Redis, mails, tasks' arguments, logs.

    with canary.watching() as watched:
        ...  # whatever must not leave a trace
    assert canary.hits([CARD_NUMBER, SECRET], besides=watched.places()) == []

`places` is what is stored at this moment; `watching` remembers what passes by: log lines from DEBUG
on, as our own formatter prints them, and the arguments of every task. Text that was packed (base64,
zlib: sessions, cached values, messages of the broker) is unpacked first.
"""

import base64
import binascii
import json
import logging
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery import signals
from django.conf import settings
from django.core import mail
from django.db import connection as default_connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql
from redis import Redis

Place = tuple[str, str]  # where, text

# Times and truth values hold no text; everything else is looked at as PostgreSQL writes it.
_WITHOUT_TEXT = ["boolean", "date", "timestamp with time zone", "timestamp without time zone"]
_PACKED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_DEEPEST = 3


def places(connection: BaseDatabaseWrapper | None = None) -> Iterator[Place]:
    """Every text that is stored now: tables, Redis, mails that were sent."""
    yield from _tables(connection or default_connection)
    for url in sorted({str(settings.REDIS_URL), str(settings.CELERY_BROKER_URL)}):
        yield from _redis(url)
    for sent in getattr(mail, "outbox", []):
        yield f"mail to {', '.join(sent.to)}", sent.message().as_string()
        yield f"mail to {', '.join(sent.to)}", f"{sent.subject}\n{sent.body}"


def hits(
    needles: Iterable[str],
    *,
    besides: Iterable[Place] = (),
    connection: BaseDatabaseWrapper | None = None,
) -> list[str]:
    """ "<needle> in <where>" for each needle and place, case and packing aside; [] is what is hoped
    for. A needle is looked for as it stands, with its spaces left out, and as JSON writes it."""
    wanted = {needle: _spellings(needle) for needle in needles}
    found = set()
    for where, text in [*places(connection), *besides]:
        seen = "\n".join(_unpacked(text)).casefold()
        for needle, spellings in wanted.items():
            if any(spelling in seen for spelling in spellings):
                found.add(f"{needle} in {where}")
    return sorted(found)


def _spellings(needle: str) -> set[str]:
    written = json.dumps(needle)[1:-1]
    return {text.casefold() for text in (needle, needle.replace(" ", ""), written)}


# --- What is stored ------------------------------------------------------------------------------


def _tables(connection: BaseDatabaseWrapper) -> Iterator[Place]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position)"
            " FROM information_schema.columns c JOIN pg_class t"
            " ON t.oid = format('%%I.%%I', c.table_schema, c.table_name)::regclass"
            " WHERE c.table_schema = 'public' AND t.relkind IN ('r', 'p', 'm')"
            " AND NOT t.relispartition AND c.data_type <> ALL (%s) GROUP BY 1 ORDER BY 1",
            [_WITHOUT_TEXT],
        )
        tables = cursor.fetchall()
        assert sum(len(columns) for _, columns in tables) > 300
        for table, columns in tables:
            cursor.execute(_all_of(table, columns))
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    if value:
                        yield f"{table}.{column}", value


def _all_of(table: str, columns: list[str]) -> sql.Composed:
    cells = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns
    )
    return sql.SQL("SELECT {} FROM {}").format(cells, sql.Identifier(table))


def _redis(url: str) -> Iterator[Place]:
    with Redis.from_url(url) as redis:
        for key in redis.scan_iter():
            where = f"redis {_text(key)}"
            yield where, _text(key)
            for value in _values(redis, key):
                yield where, _text(value)


def _values(redis: Any, key: bytes) -> Iterable[Any]:
    kind = _text(redis.type(key))
    if kind == "hash":
        return [part for pair in redis.hgetall(key).items() for part in pair]
    read = {
        "string": lambda: [redis.get(key) or b""],
        "list": lambda: redis.lrange(key, 0, -1),
        "set": lambda: redis.smembers(key),
        "zset": lambda: redis.zrange(key, 0, -1),
        "stream": lambda: [repr(entry) for entry in redis.xrange(key)],
    }
    return read[kind]() if kind in read else []  # gone meanwhile


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _unpacked(text: str, depth: int = 0) -> Iterator[str]:
    yield text
    if depth == _DEEPEST:
        return
    if text.startswith("\\x"):  # as PostgreSQL writes bytea
        with_bytes = _hex(text[2:])
        if with_bytes:
            yield from _unpacked(_inflated(with_bytes), depth + 1)
    for packed in _PACKED.findall(text):
        for raw in _decoded(packed):
            yield from _unpacked(_inflated(raw), depth + 1)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _decoded(packed: str) -> Iterator[bytes]:
    body = packed.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        yield base64.b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error:
        return


def _inflated(raw: bytes) -> str:
    try:
        return _text(zlib.decompress(raw))
    except zlib.error:
        return _text(raw)


# --- What passes by ------------------------------------------------------------------------------


@dataclass
class Watched:
    """Log lines and tasks since the watching began."""

    lines: list[str] = field(default_factory=list)
    tasks: list[Place] = field(default_factory=list)

    def places(self) -> Iterator[Place]:
        for line in self.lines:
            yield "log", line
        yield from self.tasks


class _Remembering(logging.Handler):
    def __init__(self, lines: list[str], formatter: logging.Formatter | None) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def watching() -> Iterator[Watched]:
    """Whatever the settings do not silence speaks from DEBUG on meanwhile; tasks' arguments too."""
    watched = Watched()
    handler = _Remembering(watched.lines, _our_formatter())

    def note_published(sender: str = "", body: Any = None, **_more: Any) -> None:
        watched.tasks.append((f"task {sender}", repr(body)))

    def note_run(task: Any = None, args: Any = (), kwargs: Any = None, **_more: Any) -> None:
        watched.tasks.append((f"task {task.name}", repr((args, kwargs))))

    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    signals.before_task_publish.connect(note_published)
    signals.task_prerun.connect(note_run)
    try:
        yield watched
    finally:
        signals.before_task_publish.disconnect(note_published)
        signals.task_prerun.disconnect(note_run)
        root.removeHandler(handler)
        root.setLevel(level)


def _our_formatter() -> logging.Formatter | None:
    for handler in logging.getLogger().handlers:
        if handler.formatter and "structlog" in str(type(handler.formatter)):
            return handler.formatter
    raise AssertionError("nothing prints logs in our format")
