"""Writes the archive: a README, a manifest, and every table as CSV and as JSON, in one pass each.

Memory is bounded: rows go straight into the zip's CSV, and beside it, packed, into a temporary file
that becomes the zip's JSON.
"""

import csv
import gzip
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, Protocol

from django.core.serializers.json import DjangoJSONEncoder

from orgs.audit_log import formula_safe
from orgs.owned_data.tables import Row, Scope, Table

FORMAT: Final = 1
_IN_MEMORY: Final = 4 * 2**20
_PIECE: Final = 64 * 1024
_STEP: Final = 5000  # rows between two words about the progress

Said = Callable[[int], None]


class Sink(Protocol):
    """Where the bytes of the zip go; it need not be seekable."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


def write(sink: Sink, scope: Scope, tables: list[Table], said: Said) -> dict[str, Any]:
    """The manifest, which is in the archive too. `said` hears how many rows are done."""
    files: list[dict[str, Any]] = []
    with zipfile.ZipFile(_Unseekable(sink), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr("README.txt", _readme(scope, tables))
        done = 0
        for table in tables:
            files += _write_table(archive, scope, table, _after(done, said))
            done += files[-1]["rows"]
        manifest = _manifest(scope, files)
        archive.writestr("manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False))
    said(done)
    return manifest


def _after(done: int, said: Said) -> Said:
    return lambda rows: said(done + rows)


def _write_table(
    archive: zipfile.ZipFile, scope: Scope, table: Table, said: Said
) -> list[dict[str, Any]]:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        with (
            gzip.GzipFile(fileobj=spool, mode="wb", compresslevel=1) as packed,
            _member(archive, f"csv/{table.name}.csv") as (member, as_csv),
        ):
            rows = _write_rows(table, table.rows(scope), member, packed, said)
        spool.seek(0)
        with (
            gzip.GzipFile(fileobj=spool, mode="rb") as unpacked,
            _member(archive, f"json/{table.name}.json") as (target, as_json),
        ):
            while piece := unpacked.read(_PIECE):
                target.write(piece)
    return [{"table": table.name, "rows": rows} | written for written in (as_csv, as_json)]


def _write_rows(
    table: Table, rows: Iterator[Row], as_csv: IO[bytes], as_json: gzip.GzipFile, said: Said
) -> int:
    text = io.TextIOWrapper(as_csv, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(table.columns)
    number = 0
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(value) for value in row])
        as_json.write(b",\n" if number > 1 else b"[\n")
        as_json.write(_json(dict(zip(table.columns, row, strict=True))).encode())
        if number % _STEP == 0:
            said(number)
    as_json.write(b"\n]\n" if number else b"[]\n")
    text.flush()
    text.detach()
    return number


def _cell(value: Any) -> str:
    """Texts cannot be taken for formulas (E13); numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, str):
        return formula_safe(value)
    if isinstance(value, (dict, list, bool)):
        return formula_safe(_json(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, cls=_Encoder, ensure_ascii=False)


class _Encoder(DjangoJSONEncoder):
    """Instants to the microsecond, as in the CSV."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if hasattr(o, "isoformat") else super().default(o)


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], dict[str, Any]]]:
    """A file of the archive, and what the manifest will say of it once it is closed."""
    said: dict[str, Any] = {"file": name}
    with archive.open(name, "w", force_zip64=True) as opened:
        counted = _Counted(opened)
        yield counted, said  # type: ignore[misc]
    said |= {"bytes": counted.bytes, "sha256": counted.digest.hexdigest()}


class _Counted(io.RawIOBase):
    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.bytes, self.digest = target, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.bytes += len(data)
        self.digest.update(data)
        return self.target.write(data)


class _Unseekable:
    """Without `tell`, zipfile writes a stream that nobody has to go back in."""

    def __init__(self, sink: Sink) -> None:
        self.write, self.flush = sink.write, sink.flush


def _manifest(scope: Scope, files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "organization": str(scope.organization.pk),
        "slug": scope.organization.slug,
        "until": scope.until.isoformat(),
        "files": files,
    }


def _readme(scope: Scope, tables: list[Table]) -> str:
    lines = [
        f"Everything that {scope.organization.name} owns here, as of {scope.until.isoformat()}.",
        "",
        "Each table is in csv/ and in json/, with the same rows and columns.",
        "Texts are UTF-8. Instants are ISO 8601 with their offset. Money is in minor units",
        "(cents of USD, whole dong of VND) beside its currency. Amounts of usage are in the",
        "units of their meter; sizes are in bytes or MB, as the meter says.",
        "In CSV an empty cell means that there is no value. A text that a spreadsheet would",
        "take for a formula begins with an apostrophe there; in JSON it stands as it is.",
        "manifest.json has the number of rows, the size and the SHA-256 of every file.",
        "Secrets (passwords, keys, links) are nowhere in here.",
    ]
    for table in tables:
        width = max(len(column) for column in table.columns)
        lines += ["", f"{table.name}: {table.about}", ""]
        lines += [f"  {column:<{width}}  {about}" for column, about in table.columns.items()]
    return "\n".join(lines) + "\n"
