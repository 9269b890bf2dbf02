"""How long each page takes beside an empty one of the same frame, and all of it as a table."""

import os
import statistics
import time
from pathlib import Path

from django.test import Client

from tests.pages.site import Page, Weight

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "pages.md"
EMPTY = {"owner": "/o/ha-long/empty/", "anonymous": "/empty/", "staff": "/admin/empty/"}
ROUNDS = int(os.environ.get("PAGE_ROUNDS", "40"))
_BEGIN, _END = "<!-- measured -->\n", "<!-- /measured -->"

Row = tuple[Page, int, int, Weight]


def ratios(browsers: dict[str, Client], pages: list[Page]) -> dict[Page, float]:
    """95th percentile of the page ÷ that of the empty page, asked in turns.

    PAGE_ROUNDS=0 leaves it out: on a busy machine it says nothing.
    """
    if not ROUNDS:
        return {}
    taken: dict[str, list[float]] = {}
    for page in pages:
        _seconds(browsers[page.who], EMPTY[page.who])
        _seconds(browsers[page.who], page.path)
    for _round in range(ROUNDS):
        for page in pages:
            empty, full = taken.setdefault(page.path + "|", []), taken.setdefault(page.path, [])
            empty.append(_seconds(browsers[page.who], EMPTY[page.who]))
            full.append(_seconds(browsers[page.who], page.path))
    return {page: _p95(taken[page.path]) / _p95(taken[page.path + "|"]) for page in pages}


def _seconds(browser: Client, path: str) -> float:
    start = time.perf_counter()
    response = browser.get(path)
    taken = time.perf_counter() - start
    assert response.status_code == 200, path
    return taken


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def write(rows: list[Row], found: dict[Page, float], size: int) -> None:
    """Between the two marks of the document; the rest of it is written by people."""
    lines = [
        f"| page | queries, 1 row | queries, {size:,} rows | kB gzipped | p95 ÷ empty page |",
        "|---|--:|--:|--:|--:|",
    ]
    for page, one, many, weight in rows:
        ratio = f"{found[page]:.1f}" if page in found else ""
        shown = page.pattern.replace("|", "\\|")
        lines.append(f"| `{shown}` | {one} | {many} | {weight.total / 1000:.1f} | {ratio} |")
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _begin, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    DOCUMENT.write_text(before + _BEGIN + "\n".join(lines) + "\n" + _END + after, encoding="utf-8")
