"""From a TOML file to a validated catalogue, or to one readable line per mistake."""

import json
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from billing.catalog.rules import Problem, problems_of
from billing.catalog.schema import Catalog

SHIPPED = Path(__file__).resolve().parent.parent / "catalogs"


class CatalogInvalid(ImproperlyConfigured):
    """The file cannot be used; `problems` says why, one entry per mistake."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path.name}: {problem}" for problem in problems))


def current() -> Catalog:
    """The catalogue that the setting CATALOG names: a shipped one, or a path ending in .toml."""
    return _kept(str(settings.CATALOG))


def path_of(name: str) -> Path:
    return Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"


def shipped() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(path: Path) -> Catalog:
    """Reads the file anew. Raises CatalogInvalid."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        choices = ", ".join(shipped())
        raise CatalogInvalid(path, [Problem("CATALOG", f"no such file; try {choices}")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CatalogInvalid(path, [Problem("file", f"cannot be read: {error}")]) from None
    return parse(document, path)


def parse(document: Mapping[str, Any], path: Path) -> Catalog:
    try:
        catalog = Catalog.model_validate(document)
    except ValidationError as error:
        problems = [_readable(detail) for detail in error.errors(include_url=False)]
        raise CatalogInvalid(path, problems) from None
    if problems := problems_of(catalog, document):
        raise CatalogInvalid(path, problems)
    return catalog


@lru_cache(maxsize=16)
def _kept(name: str) -> Catalog:
    return load(path_of(name))


forget = _kept.cache_clear  # after a publish, and in tests that rewrite a file


def _readable(detail: ErrorDetails) -> Problem:
    key = ".".join(str(part) for part in detail["loc"] if part != "[key]") or "file"
    match detail["type"]:
        case "missing":
            sentence = "is missing"
        case "extra_forbidden":
            sentence = "is not a key the catalogue knows"
        case "value_error":
            sentence = detail["msg"].removeprefix("Value error, ")
        case _:
            message = detail["msg"]
            sentence = f"{message[0].lower()}{message[1:]}, not {_shown(detail['input'])}"
    return Problem(key, sentence)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004
