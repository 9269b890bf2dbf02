"""The figures as tables on the terminal, and as JSON."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.cost import Cost
from tests.benchmarks.rounds import BATCH_CONNECTIONS, BATCH_EVENTS, CONNECTIONS, Measured
from tests.benchmarks.targets import Verdict


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def rates(found: dict[str, Measured]) -> Table:
    table = Table(title="Answers per second (medians), and of the echo", title_justify="left")
    table.add_column("")
    for connections in CONNECTIONS:
        table.add_column(f"{connections}", justify="right")
        table.add_column("p50 ms", justify="right")
        table.add_column("of echo", justify="right")
    names = dict.fromkeys(label.rpartition(" @")[0] for label in found)
    for name in names:
        if f"{name} @{CONNECTIONS[-1]}" in found:
            cells = [cell for at in CONNECTIONS for cell in _cells(found, name, at)]
            table.add_row(name, *cells)
    return table


def batches(found: dict[str, Measured], copy: float) -> Table:
    title = f"Events per second in batches of {BATCH_EVENTS:,}, {BATCH_CONNECTIONS} connections"
    table = Table(title=title, title_justify="left")
    for name in ("", "events/s", "p50 ms", "of COPY"):
        table.add_column(name, justify="right" if name else "left")
    for label, one in found.items():
        if label.startswith("batch "):
            share = f"{one.per_second / copy:.3f}"
            name = label.rpartition(" @")[0]
            table.add_row(name, f"{one.per_second:,.0f}", f"{one.p50_us / 1000:.0f}", share)
    return table


def _cells(found: dict[str, Measured], name: str, connections: int) -> tuple[str, str, str]:
    one = found[f"{name} @{connections}"]
    echo = found[f"echo @{connections}"]
    return (
        f"{one.per_second:,.0f}",
        f"{one.p50_us / 1000:.2f}",
        f"{one.per_second / echo.per_second:.3f}",
    )


def judged(verdicts: list[Verdict]) -> Table:
    table = Table(title="Against what was promised", title_justify="left")
    table.add_column("ratio")
    for name in ("measured", "not below", "aim"):
        table.add_column(name, justify="right")
    table.add_column("")
    for verdict in verdicts:
        sign = "≤ " if verdict.at_most else ""
        style = "red" if verdict.word == "MISSED" else ""
        floor, aim = f"{sign}{verdict.floor:g}", f"{sign}{verdict.aim:g}"
        table.add_row(verdict.name, f"{verdict.ratio:.3f}", floor, aim, verdict.word, style=style)
    return table


def grown(costs: list[Cost]) -> Table:
    table = Table(title="Cost of one consume in PostgreSQL", title_justify="left")
    names = ("organizations", "ledger rows", "buffers", "of 64", "p50 ms", "p99 ms", "bytes/row")
    for name in names:
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(
            f"{cost['organizations']:,}",
            f"{cost['ledger_rows']:,}",
            f"{cost['buffers']:.0f}",
            f"{cost['buffers_of_64']:.1f}",
            f"{cost['p50_us'] / 1000:.2f}",
            f"{cost['p99_us'] / 1000:.2f}",
            f"{cost['table_bytes']:.0f} + {cost['index_bytes']:.0f}",
        )
    return table


def document(
    found: dict[str, Measured], verdicts: list[Verdict], costs: list[Cost], **facts: Any
) -> dict[str, Any]:
    return {
        **facts,
        "cases": {
            label: {
                "per_second": round(one.per_second, 1),
                "p50_us": one.p50_us,
                "p99_us": one.p99_us,
                "rounds": [round(result.per_second, 1) for result in one.results],
            }
            for label, one in found.items()
        },
        "cost": costs,
        "verdicts": [
            {
                "name": verdict.name,
                "ratio": round(verdict.ratio, 4),
                "floor": verdict.floor,
                "aim": verdict.aim,
                "verdict": verdict.word,
            }
            for verdict in verdicts
        ],
    }


def write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")


def show(*tables: Table) -> None:
    console = Console(width=None if Console().is_terminal else 120)
    for table in tables:
        console.print(table)
