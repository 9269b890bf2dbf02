"""`manage.py billing classify|adopt`: shows first, changes with --apply, goes on where it broke."""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from billing.adoption import adopt, classify, tables
from billing.adoption.tables import Writer
from orgs.audit import Actor, ActorKind
from orgs.exceptions import DomainError
from orgs.models import Organization

_ACTOR = Actor(kind=ActorKind.SYSTEM, label="manage.py billing")
_TENTHS = 10


class Command(BaseCommand):
    help = "Classify organizations before enforcement, or adopt an existing Stripe account."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        one = verbs.add_parser("classify", help="stripe, pilot, contract or default")
        one.add_argument("file", nargs="?", type=Path, help="CSV: organization, class, plan, …")
        one.add_argument("--export", type=Path, help="write who is not classified, then stop")
        two = verbs.add_parser("adopt", help="match Stripe's customers to organizations")
        two.add_argument("file", nargs="?", type=Path, help="CSV: customer, organization")
        two.add_argument("--metadata-key", default="organization", help="of Stripe's customers")
        two.add_argument("--accept", action="append", default=[], choices=adopt.ACCEPTABLE)
        for verb in (one, two):
            verb.add_argument("--apply", action="store_true", help="else nothing is changed")
            verb.add_argument("--out", type=Path, help="write the judged rows here as CSV")

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console(file=self.stdout, highlight=False, soft_wrap=True)  # type: ignore[arg-type]
        try:
            if options["verb"] == "classify":
                self._classify(options)
            else:
                self._adopt(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _classify(self, options: dict[str, Any]) -> None:
        if options["export"] is not None:
            self._export(options["export"])
            return
        if options["file"] is None:
            raise CommandError("name a file, or --export one first")
        decisions = classify.read(tables.read(options["file"], needs=classify.NEEDS))
        with (
            self._written(options["out"], classify.COLUMNS) as write,
            self._progress("classifying", len(decisions)) as advance,
        ):
            for decision in decisions:
                if options["apply"]:
                    classify.apply(decision, actor=_ACTOR)
                write(decision.as_row())
                advance()
        for decision in decisions:
            if decision.problem:
                self.console.print(f"{decision.row.get('organization')}: {decision.problem}")
        self._conclude(
            Counter(each.result or each.kind for each in decisions if not each.problem),
            problems=sum(bool(each.problem) for each in decisions),
            applied=options["apply"],
        )

    def _export(self, path: Path) -> None:
        left = Organization.objects.open().filter(classification=None).count()
        with (
            self._written(path, classify.COLUMNS) as write,
            self._progress("looking at", left) as advance,
        ):
            for row in classify.proposals():
                write(row)
                advance()
        self.console.print(f"{left} organizations in {path}; fill in `class` where it is empty")

    def _adopt(self, options: dict[str, Any]) -> None:
        rows = tables.read(options["file"], needs=adopt.NEEDS) if options["file"] else []
        found = adopt.matches(rows, metadata_key=options["metadata_key"])
        with (
            self._written(options["out"], adopt.COLUMNS) as write,
            self._progress("adopting", len(found)) as advance,
        ):
            for match in found:
                if options["apply"]:
                    adopt.apply(match, options["accept"], actor=_ACTOR)
                else:
                    match.result = self._would(match, options["accept"])
                write(match.as_row())
                advance()
        for match in found:
            if match.doubts or match.result.startswith("failed"):
                row = match.as_row()
                self.console.print(
                    f"{row['customer']} {row['organization'] or '?'}: {row['result']};"
                    f" {row['doubts']}"
                )
        failed = sum(each.result.startswith(("failed", "busy")) for each in found)
        results = Counter(each.result for each in found)
        self._conclude(results, problems=failed, applied=options["apply"])

    def _would(self, match: adopt.Match, accepted: list[str]) -> str:
        if match.done:
            return "already"
        return "would be adopted" if match.stands(accepted) else "left alone"

    def _conclude(self, results: Counter[str], *, problems: int, applied: bool) -> None:
        told = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
        self.console.print(told or "nothing to do")
        if problems:
            self.console.print(f"{problems} with problems")
        if not applied:
            self.console.print("nothing was changed; --apply does it")
        if problems:
            sys.exit(1)

    @contextmanager
    def _written(self, path: Path | None, columns: tuple[str, ...]) -> Iterator[Any]:
        if path is None:
            yield lambda _row: None
            return
        try:
            writer = Writer(path, columns)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        try:
            yield writer.write
        finally:
            writer.close()

    @contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Any]:
        """A bar on a terminal; elsewhere a line per tenth of the work."""
        if self.console.is_terminal:
            with Progress(console=self.console, transient=True) as bar:
                task = bar.add_task(title, total=total)
                yield lambda: bar.advance(task)
            return
        state = {"done": 0, "tenth": 0}

        def advance() -> None:
            state["done"] += 1
            tenth = state["done"] * _TENTHS // max(total, 1)
            if tenth > state["tenth"]:
                state["tenth"] = tenth
                self.stderr.write(f"{title}: {state['done']} of {total}")

        yield advance
