"""`manage.py usage reconcile [--repair]` and `manage.py usage status`."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from orgs.models import Organization
from quotas.reaction import overage
from quotas.reading import reconciliation, rollups
from quotas.reading.reconciliation import Difference

_COLUMNS = ("organization", "what", "meter", "member", "period", "ledger says", "found")
_TENTHS = 10


class Command(BaseCommand):
    help = "Compare ledger, balances, roll-ups and Redis; repair what differs from the ledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("status", help="how old the roll-ups are")
        reconcile = verbs.add_parser("reconcile", help="show what differs, then repair if asked")
        reconcile.add_argument("--repair", action="store_true", help="towards the ledger")
        reconcile.add_argument("--organization", help="slug; default: every organization")
        reconcile.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console(file=self.stdout, highlight=False)  # type: ignore[arg-type]
        if options["verb"] == "status":
            self._status()
            return
        organizations = _chosen(options["organization"])
        rollups.catch_up()
        found = self._compare(organizations)
        self._show(found, as_json=options["json"])
        if found and options["repair"]:
            self._repair(found)
        elif found:
            sys.exit(1)

    def _status(self) -> None:
        updated = rollups.updated_at()
        when = "never" if updated is None else updated.isoformat(timespec="seconds")
        self.console.print(f"roll-ups until {when}")
        self.console.print(f"usage_staleness_seconds {rollups.staleness_seconds():.1f}")

    def _compare(self, organizations: list[UUID]) -> list[Difference]:
        suspected: list[Difference] = []
        with self._progress("comparing", len(organizations)) as advance:
            for chunk in reconciliation.chunks(organizations):
                suspected += reconciliation.differences(chunk)
                advance(len(chunk))
        return reconciliation.confirmed(suspected, _write_overage_down)

    def _repair(self, found: list[Difference]) -> None:
        concerned = sorted({difference.organization for difference in found})
        with self._progress("repairing", len(concerned)) as advance:
            for organization in concerned:
                reconciliation.repair(organization)
                advance(1)
        left = [each for organization in concerned for each in _left(organization)]
        if left:
            self._show(left, as_json=False)
            raise CommandError(f"{len(left)} differences could not be repaired")
        self.console.print(f"repaired {len(found)} differences, towards the ledger")

    def _show(self, found: list[Difference], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([_as_json(difference) for difference in found]))
            return
        if not found:
            self.console.print("ledger, balances, roll-ups and Redis agree")
            return
        names = dict(
            Organization.objects.values_list("pk", "slug").filter(
                pk__in={difference.organization for difference in found}
            )
        )
        if not self.console.is_terminal:
            for difference in found:
                self.stdout.write("  ".join(_cells(difference, names)))
            return
        table = Table(*_COLUMNS)
        for difference in found:
            table.add_row(*_cells(difference, names))
        self.console.print(table)

    @contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Any]:
        """A bar on a terminal; elsewhere a line per tenth of the work."""
        if self.console.is_terminal:
            with Progress(console=self.console, transient=True) as bar:
                task = bar.add_task(title, total=total)
                yield lambda done: bar.advance(task, done)
            return
        state = {"done": 0, "tenth": 0}

        def advance(done: int) -> None:
            state["done"] += done
            tenth = state["done"] * _TENTHS // max(total, 1)
            if tenth > state["tenth"]:
                state["tenth"] = tenth
                self.stderr.write(f"{title}: {state['done']} of {total} organizations")

        yield advance


def _write_overage_down(organization: UUID) -> None:
    overage.take_stock(Organization.objects.get(pk=organization))


def _chosen(slug: str | None) -> list[UUID]:
    if slug is None:
        return reconciliation.all_organizations()
    organization = Organization.objects.filter(slug=slug).first()
    if organization is None:
        raise CommandError(f"no organization is called {slug}")
    return [organization.pk]


def _left(organization: UUID) -> list[Difference]:
    found = reconciliation.differences([organization])
    return reconciliation.confirmed(found, _write_overage_down)


def _cells(difference: Difference, names: dict[UUID, str]) -> list[str]:
    period = difference.period_start
    return [
        names.get(difference.organization, str(difference.organization)),
        str(difference.kind),
        difference.meter,
        difference.member or "-",
        "-" if period is None else period.date().isoformat(),
        str(difference.expected),
        str(difference.found),
    ]


def _as_json(difference: Difference) -> dict[str, Any]:
    period = difference.period_start
    return {
        "organization": str(difference.organization),
        "kind": str(difference.kind),
        "meter": difference.meter,
        "member": difference.member,
        "period_start": None if period is None else period.isoformat(),
        "expected": difference.expected,
        "found": difference.found,
    }
