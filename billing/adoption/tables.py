"""CSV in and out: what a spreadsheet made of a file is read, and what we write is safe in one."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from orgs.audit_log import formula_safe
from orgs.exceptions import Unprocessable
from orgs.models import Organization

Row = dict[str, str]


def read(path: Path, *, needs: Sequence[str]) -> list[Row]:
    """Rows by header, trimmed. Raises Unprocessable for a file that is no such table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source)
            rows = [_trimmed(row) for row in reader]
            missing = [name for name in needs if name not in (reader.fieldnames or [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unprocessable(f"{path}: cannot be read: {error}", field="file") from None
    if missing:
        raise Unprocessable(f"{path}: no column {', '.join(missing)}", field="file")
    return rows


class Writer:
    """Writes row by row, so that an interrupted run leaves what it did."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._columns = columns
        self._writer.writerow(columns)

    def write(self, row: Mapping[str, object]) -> None:
        cells = ["" if row.get(name) is None else str(row[name]) for name in self._columns]
        self._writer.writerow([formula_safe(cell) for cell in cells])
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def organizations_named(names: Iterable[str]) -> dict[str, Organization]:
    """Open ones by slug or id, in two queries."""
    wanted = set(names)
    found = {
        organization.slug: organization
        for organization in Organization.objects.open().filter(slug__in=wanted)
    }
    ids = {parsed: name for name in wanted if (parsed := _uuid(name)) is not None}
    for organization in Organization.objects.open().filter(pk__in=ids):
        found[ids[organization.pk]] = organization
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _trimmed(row: Mapping[str | None, object]) -> Row:
    """Our own export guards cells with an apostrophe, which comes back with them."""
    return {
        name: value.strip().removeprefix("'")
        for name, value in row.items()
        if isinstance(name, str) and isinstance(value, str)
    }
