"""Findings on a terminal: a mark, a name and a sentence; plain lines where there is none."""

from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.text import Text

from billing import findings
from billing.findings import Finding, Outcome

_MARKS: Final = {
    Outcome.OK: ("ok  ", "green"),
    Outcome.WARNING: ("warn", "yellow"),
    Outcome.FAILED: ("FAIL", "bold red"),
    Outcome.SKIPPED: ("skip", "dim"),
}


def show(console: Console, found: Iterable[Finding]) -> None:
    rows = list(found)
    for each in rows:
        show_one(console, each)
    console.print(findings.summary(rows))


def show_one(console: Console, found: Finding) -> None:
    mark, style = _MARKS[found.outcome]
    line = Text.assemble((mark, style), f"  {found.name}: {found.said}")
    if found.hint:
        line.append(f" {found.hint}", style="italic")
    console.print(line, soft_wrap=True)
