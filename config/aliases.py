"""Variables under the names that a catalogue's document gives them (`[env.aliases]`)."""

import tomllib
from collections.abc import MutableMapping
from pathlib import Path

_SHIPPED = Path(__file__).resolve().parent.parent / "billing" / "catalogs"


def adopt(environment: MutableMapping[str, str], catalog: str) -> None:
    """Sets ours from theirs where ours is empty; read before there are settings to read it with.

    A file that cannot be read gives none: `catalog check` and the system check say why.
    """
    path = Path(catalog) if catalog.endswith(".toml") else _SHIPPED / f"{catalog}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return
    named = document.get("env", {}).get("aliases", {})
    for theirs, ours in named.items():
        if environment.get(theirs) and not environment.get(ours):
            environment[ours] = environment[theirs]
