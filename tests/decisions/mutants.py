"""Runs mutmut on a copy of the tree, and compares what lived with what docs/mutation.md allows."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.installation import ROOT

COPIED: Final = (
    "billing", "config", "locale", "orgs", "quotas", "static", "templates", "tests",
)  # fmt: skip
WANTED: Final = 90.0
EXPLAINED: Final = ROOT / "docs" / "mutation.md"
_ROW: Final = re.compile(r"^\| `([\w.]+)` \| `` (.+?) `` \| `` (.*?) `` \|", re.MULTILINE)
# What mutmut writes of a mutant: the exit code of pytest, or how its process ended.
_LIVED: Final = frozenset({0, 5, 33})


@dataclass(frozen=True)
class Survivor:
    """A change of one line that no pure test notices."""

    function: str
    was: str
    became: str


@dataclass(frozen=True)
class Found:
    """Mutants made and killed, by module; and those that lived."""

    made: Counter[str]
    killed: Counter[str]
    survivors: tuple[Survivor, ...]


def run(folder: Path, processes: int) -> Found:
    """In a folder that stays, so that a second run tests only what has changed."""
    for name in COPIED:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    _mutmut(folder, "run", "--max-children", str(processes))
    made, killed, lived = Counter[str](), Counter[str](), list[str]()
    for file in sorted((folder / "mutants").rglob("*.py.meta")):
        module = str(file.relative_to(folder / "mutants")).removesuffix(".meta")
        for name, code in json.loads(file.read_text())["exit_code_by_key"].items():
            made[module] += 1
            killed[module] += code not in _LIVED
            lived += [name] if code in _LIVED else []
    return Found(made, killed, tuple(_survivor(folder, name) for name in lived))


def _survivor(folder: Path, name: str) -> Survivor:
    changed = _mutmut(folder, "show", name).splitlines()
    was = [line[1:].strip() for line in changed if re.match(r"-(?!--)", line)]
    became = [line[1:].strip() for line in changed if re.match(r"\+(?!\+\+)", line)]
    module, _mangled, rest = name.partition(".x")
    function = re.sub(r"__mutmut_\d+$", "", rest).removeprefix("_").strip("ǁ").replace("ǁ", ".")
    return Survivor(f"{module.rpartition('.')[2]}.{function}", " ".join(was), " ".join(became))


def _mutmut(folder: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    shown = arguments[0] != "run"
    ended = subprocess.run(
        command, cwd=folder, text=True, check=True, stdout=subprocess.PIPE if shown else None
    )
    return ended.stdout or ""


def explained() -> set[Survivor]:
    return {Survivor(*row) for row in _ROW.findall(EXPLAINED.read_text(encoding="utf-8"))}


def holds(found: Found) -> bool:
    enough = all(100 * found.killed[name] >= WANTED * found.made[name] for name in found.made)
    return enough and set(found.survivors) <= explained()


def report(found: Found, seconds: float) -> str:
    lines = ["", f"{'module':<40}{'mutants':>8}{'killed':>8}{'':>8}"]
    for name in sorted(found.made):
        made, killed = found.made[name], found.killed[name]
        lines.append(f"{name:<40}{made:>8}{killed:>8}{100 * killed / made:>7.1f}%")
    known = explained()
    for one in found.survivors:
        word = "explained" if one in known else "NOT EXPLAINED"
        lines.append(f"| `{one.function}` | `` {one.was} `` | `` {one.became} `` |  {word}")
    return "\n".join([*lines, f"{seconds / 60:.1f} minutes", ""])
