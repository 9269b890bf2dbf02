"""Every object, in memory for reading and in one SQLite file for surviving a restart."""

import json
import sqlite3
from pathlib import Path
from typing import Any

Obj = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  kind TEXT NOT NULL, id TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (kind, id)
)
"""


class Store:
    """Objects by kind, in order of creation. A request's changes are kept or undone as one."""

    def __init__(self, folder: Path | None) -> None:
        path = ":memory:" if folder is None else str(_prepared(folder) / "stripe.sqlite3")
        self._disk = sqlite3.connect(path, check_same_thread=False)
        self._disk.execute("PRAGMA journal_mode = WAL")
        self._disk.execute("PRAGMA synchronous = NORMAL")
        self._disk.execute(SCHEMA)
        self._tables: dict[str, dict[str, Obj]] = {}
        self._kind_of: dict[str, str] = {}
        self._positions: dict[tuple[str, str], int] = {}
        self._saved: dict[tuple[str, str], str | None] = {}
        self._next = 0
        self._load()

    def add(self, kind: str, key: str, body: Obj) -> Obj:
        self._remember(kind, key)
        self._tables.setdefault(kind, {})[key] = body
        self._kind_of[key] = kind
        self._positions[kind, key] = self._next
        self._next += 1
        return body

    def get(self, kind: str, key: str) -> Obj | None:
        """The live object: what the caller changes in it is saved with the request."""
        found = self._tables.get(kind, {}).get(key)
        if found is not None:
            self._remember(kind, key)
        return found

    def remove(self, kind: str, key: str) -> None:
        self._remember(kind, key)
        self._tables.get(kind, {}).pop(key, None)
        self._kind_of.pop(key, None)

    def kind_of(self, key: str) -> str | None:
        return self._kind_of.get(key)

    def peek(self, kind: str, key: str) -> Obj | None:
        """For reading only, and cheaper than `get`."""
        return self._tables.get(kind, {}).get(key)

    def scan(self, kind: str, **wanted: Any) -> list[Obj]:
        """Objects whose top-level fields equal the wanted ones, for reading only."""
        table = self._tables.get(kind, {})
        if not wanted:
            return list(table.values())
        pairs = list(wanted.items())
        return [
            body for body in table.values() if all(body.get(name) == value for name, value in pairs)
        ]

    def where(self, kind: str, **wanted: Any) -> list[Obj]:
        """Live objects whose top-level fields equal the wanted ones: to be changed."""
        found = self.scan(kind, **wanted)
        for body in found:
            self._remember(kind, body["id"])
        return found

    def kinds(self) -> dict[str, int]:
        return {kind: len(table) for kind, table in sorted(self._tables.items()) if table}

    def commit(self) -> None:
        for (kind, key), before in self._saved.items():
            body = self._tables.get(kind, {}).get(key)
            if body is None:
                self._disk.execute("DELETE FROM object WHERE kind = ? AND id = ?", (kind, key))
                continue
            after = json.dumps(body, separators=(",", ":"))
            if after != before:
                self._disk.execute(
                    "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)",
                    (kind, key, self._positions[kind, key], after),
                )
        if self._saved:
            self._disk.commit()
        self._saved.clear()

    def rollback(self) -> None:
        for (kind, key), before in self._saved.items():
            if before is None:
                self._tables.get(kind, {}).pop(key, None)
                self._kind_of.pop(key, None)
            else:
                self._tables.setdefault(kind, {})[key] = json.loads(before)
                self._kind_of[key] = kind
        self._saved.clear()

    def clear(self) -> None:
        self._tables.clear()
        self._kind_of.clear()
        self._positions.clear()
        self._saved.clear()
        self._disk.execute("DELETE FROM object")
        self._disk.commit()

    def photograph(self) -> str:
        """Everything there is, as text that `restore` understands."""
        return json.dumps([self._tables, list(self._positions.items()), self._next])

    def restore(self, photograph: str) -> None:
        """All is as it was then; what came later is gone."""
        self.clear()
        self._tables, positions, self._next = json.loads(photograph)
        self._positions = {(kind, key): number for (kind, key), number in positions}
        self._kind_of = {key: kind for kind, table in self._tables.items() for key in table}
        self._disk.executemany(
            "INSERT INTO object VALUES (?, ?, ?, ?)",
            (
                (kind, key, self._positions[kind, key], json.dumps(body, separators=(",", ":")))
                for kind, table in self._tables.items()
                for key, body in table.items()
            ),
        )
        self._disk.commit()

    def _remember(self, kind: str, key: str) -> None:
        """Keep the text an object had before this request first touched it."""
        if (kind, key) in self._saved:
            return
        body = self._tables.get(kind, {}).get(key)
        text = None if body is None else json.dumps(body, separators=(",", ":"))
        self._saved[kind, key] = text

    def _load(self) -> None:
        rows = self._disk.execute("SELECT kind, id, position, body FROM object ORDER BY position")
        for kind, key, position, body in rows:
            self._tables.setdefault(kind, {})[key] = json.loads(body)
            self._kind_of[key] = kind
            self._positions[kind, key] = position
            self._next = position + 1


def _prepared(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
