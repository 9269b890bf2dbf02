"""Steps shown as they happen: a spinner on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console


class Progress:
    def __init__(self) -> None:
        self.console = Console(highlight=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        started = time.monotonic()
        waiting = self.console.status(title) if self.console.is_terminal else nullcontext()
        with waiting:
            yield
        seconds = time.monotonic() - started
        self.console.print(f"[green]✓[/] {title} [dim]{seconds:.1f} s[/]")
