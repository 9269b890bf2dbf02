"""Translations without GNU gettext: Babel collects, merges and compiles `locale/*/django.po`."""

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from config.embedded import BASE_DIR

FOLDERS = ("orgs", "billing", "quotas", "config", "templates")
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}


def collect(root: Path = BASE_DIR) -> Catalog:
    """Every string marked in the code and in the templates, with where it stands."""
    template = Catalog(project="Ledgerline", charset="utf-8")
    for path, source, method in _sources(root):
        found = extract(method, io.BytesIO(source), KEYWORDS, comment_tags=("Translators:",))
        for line, message, comments, context in found:
            place = [(path.relative_to(root).as_posix(), line)]
            flags = _flags(message)
            template.add(message, "", place, flags, comments, context=context)
    return template


def merge(template: Catalog, root: Path = BASE_DIR) -> list[Path]:
    """Writes the strings into each language's file; returns the files that changed."""
    changed = []
    for file in _files(root):
        before = file.read_bytes()
        catalog = read_po(io.BytesIO(before), locale=file.parts[-3])
        catalog.update(template, no_fuzzy_matching=True)
        written = io.BytesIO()
        write_po(written, catalog, width=100, sort_by_file=True, include_lineno=False)
        if _strings(written.getvalue()) != _strings(before):
            file.write_bytes(written.getvalue())
            changed.append(file)
    return changed


def add_languages(codes: Iterable[str], root: Path = BASE_DIR) -> None:
    """An empty file for each language that has none yet."""
    for code in codes:
        file = root / "locale" / code / "LC_MESSAGES" / "django.po"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as fresh:
                write_po(fresh, Catalog(locale=code, project="Ledgerline", charset="utf-8"))


def compile_stale(root: Path = BASE_DIR) -> list[Path]:
    """Compiles what is newer than its compiled file; returns the compiled files written."""
    written = []
    for file in _files(root):
        target = file.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= file.stat().st_mtime:
            continue
        fresh = target.with_suffix(f".{os.getpid()}")  # another process may do the same
        with file.open("rb") as source, fresh.open("wb") as compiled:
            write_mo(compiled, read_po(source, locale=file.parts[-3]))
        fresh.rename(target)
        written.append(target)
    return written


def untranslated(root: Path = BASE_DIR) -> list[str]:
    """Each missing or doubtful translation as `language: string`."""
    missing = []
    for file in _files(root):
        catalog = read_po(io.BytesIO(file.read_bytes()), locale=file.parts[-3])
        missing += [
            f"{file.parts[-3]}: {message.id}"
            for message in catalog
            if message.id and (message.fuzzy or not _is_complete(message.string))
        ]
    return missing


def _sources(root: Path) -> Iterator[tuple[Path, bytes, str]]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path, path.read_bytes(), "python"
        for path in sorted((*(root / folder).rglob("*.html"), *(root / folder).rglob("*.txt"))):
            # Django turns a template into calls of gettext between blanks; that is JavaScript too.
            yield path, templatize(path.read_text(), origin=str(path)).encode(), "javascript"


def _files(root: Path) -> list[Path]:
    return sorted((root / "locale").glob("*/LC_MESSAGES/django.po"))


def _flags(message: object) -> tuple[str, ...]:
    strings = message if isinstance(message, tuple) else (message,)
    return ("python-format",) if any("%(" in str(each) for each in strings) else ()


def _strings(po: bytes) -> list[bytes]:
    """Without comments and dates, which change by themselves."""
    return [line for line in po.splitlines() if not line.startswith((b"#", b'"POT-', b'"Gen'))]


def _is_complete(string: str | tuple[str, ...] | list[str] | None) -> bool:
    return all(string) if isinstance(string, (tuple, list)) else bool(string)
