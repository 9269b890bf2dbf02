"""Writes the page of settings, `.env.example` and the chart's list of secrets from the settings."""

import json
import os
import runpy
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import environ

from config.variables import GROUPS, SECRETS, Group, Variable

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "deploy" / "helm" / "ledgerline" / "values.schema.json"
_KINDS: Final = {bool: "yes or no", int: "number", float: "number", list: "list"}
# As little as a production host may set.
_LEAST: Final = {
    "SECRET_KEY": "only to read the settings",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


class Read(NamedTuple):
    """How the settings asked for a variable; `default` as a production host has it."""

    kind: str
    default: str


def read_by_the_settings() -> dict[str, Read]:
    """Runs the file with an environment that notes what is asked of it, and has next to nothing."""
    found: dict[str, Read] = {}

    class Noting(environ.Env):  # type: ignore[misc]
        ENVIRON = dict(_LEAST)

        def get_value(self, var: str, cast: Any = None, default: Any = None, **how: Any) -> Any:
            kind = _KINDS.get(cast if isinstance(cast, type) else type(cast), "text")
            found[var] = Read(kind, _said(default))
            return super().get_value(var, cast=cast, default=default, **how)

        @classmethod
        def read_env(cls, *_args: Any, **_how: Any) -> None:
            """A developer's own file says nothing of the defaults."""

    with patch.object(environ, "Env", Noting), patch.dict(os.environ):
        runpy.run_path(str(ROOT / "config" / "settings.py"))
    return found


def _said(default: Any) -> str:
    if default is None or isinstance(default, environ.NoValue):
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, list):
        return ",".join(map(str, default))
    same_as = {value: name for name, value in _LEAST.items()}
    return same_as.get(default) or str(default).replace(f"{ROOT}/", "")


def documents() -> dict[Path, str]:
    read = read_by_the_settings()
    return {
        ROOT / "docs" / "settings.md": page(read),
        ROOT / ".env.example": example(),
        CHART: schema(),
    }


def page(read: dict[str, Read]) -> str:
    lines = [
        "# Settings",
        "",
        "Every variable of the environment, with its default where `DEBUG` is off. Written by",
        "`manage.py settings_reference`; a test compares. Secrets belong into a secret store, the",
        "others where the deployment is described.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.title}", "", "| variable | kind | default | meaning |"]
        lines += ["|---|---|---|---|", *(_row(each, read) for each in group.variables)]
    return "\n".join(lines) + "\n"


def _row(variable: Variable, read: dict[str, Read]) -> str:
    kind, default = read.get(variable.name) or Read("text", variable.elsewhere or "")
    if variable.secret:
        kind = f"{kind}, secret"
    shown = "required" if variable.required else f"`{default}`" if default else "empty"
    return f"| `{variable.name}` | {kind} | {shown} | {variable.meaning} |"


def example() -> str:
    lines = [
        "# Copy to .env for development; a real variable always wins over this file.",
        "# `make demo` and `make test` need none of it. Production needs the first two blocks.",
        "# Written by `manage.py settings_reference`; docs/settings.md has kinds and defaults.",
    ]
    for group in GROUPS:
        lines += ["", f"# --- {group.title} ---", *_assignments(group)]
    return "\n".join(lines) + "\n"


def _assignments(group: Group) -> Iterator[str]:
    for variable in group.variables:
        yield from (f"# {line}" for line in textwrap.wrap(variable.meaning, 96))
        yield f"{variable.name}={variable.example}"


def schema() -> str:
    """Of the chart's values, which refuse a secret among the plain variables."""
    found = json.loads(CHART.read_text(encoding="utf-8"))
    _pattern, refused = found["properties"]["config"]["propertyNames"]["allOf"]
    refused["not"]["enum"] = sorted(SECRETS)
    return json.dumps(found, indent=2) + "\n"
