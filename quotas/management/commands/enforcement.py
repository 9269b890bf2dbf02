"""`manage.py enforcement status|report|switch|undo`: what refuses, and what would be refused."""

import csv
import sys
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from billing import catalog, evidence
from billing.catalog.money import format_money
from billing.evidence import Attachment
from billing.insight import revenue
from orgs.audit import Actor, ActorKind
from orgs.exceptions import DomainError
from orgs.models import Organization
from quotas import enforcement_modes
from quotas.enforcement_modes import Order
from quotas.models import Enforcement, EnforcementSwitch
from quotas.reading import observe_report

_ACTOR = Actor(kind=ActorKind.SYSTEM, label="manage.py enforcement")


class Command(BaseCommand):
    help = "Show what limits would refuse, and switch between disabled, observe and enforce."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("status", help="the modes that hold, and who is not classified")
        report = verbs.add_parser("report", help="whom enforcement would have refused")
        report.add_argument("--days", type=int, default=observe_report.DAYS)
        report.add_argument("--csv", type=Path, help="write it to this file; - is the output")
        switch = verbs.add_parser("switch", help="one audited act")
        switch.add_argument("mode", choices=Enforcement.values)
        switch.add_argument("--organization", help="slug; default: the whole deployment")
        switch.add_argument("--subject", default="", help="a meter or a feature; default: all")
        switch.add_argument("--reason", required=True)
        switch.add_argument("--evidence", help="a file or a link; `enforce` needs one")
        undo = verbs.add_parser("undo", help="what held before a switch holds again")
        undo.add_argument("switch", type=int, nargs="?", help="default: the newest")

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console(file=self.stdout, highlight=False, soft_wrap=True)  # type: ignore[arg-type]
        verbs = {
            "status": self._status,
            "report": self._report,
            "switch": self._switch,
            "undo": self._undo,
        }
        try:
            verbs[options["verb"]](options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _status(self, options: dict[str, Any]) -> None:
        policy = catalog.current().enforcement
        self.console.print(f"catalogue: {policy.default}")
        for meter, mode in policy.meters.items():
            self.console.print(f"catalogue, {meter}: {mode}")
        for made in EnforcementSwitch.objects.standing().in_order().select_related("organization"):
            scope = made.organization.slug if made.organization else "deployment"
            self.console.print(
                f"#{made.pk} {scope}{', ' + made.subject if made.subject else ''}: {made.mode}"
                f" since {made.at:%Y-%m-%d %H:%M} ({made.reason})"
            )
        self.console.print(f"not classified: {enforcement_modes.unclassified().count()}")

    def _report(self, options: dict[str, Any]) -> None:
        report = observe_report.of(timezone.now() - timedelta(days=options["days"]))
        if options["csv"] is not None:
            self._write(report, options["csv"])
            return
        if self.console.is_terminal:
            self.console.print(_table(report))
        else:
            for line in report.lines:
                self.stdout.write("  ".join(_cells(line)))
        stake = ", ".join(
            format_money(revenue.rounded(amount), currency)
            for currency, amount in report.at_stake.items()
        )
        self.console.print(
            f"{report.calls} calls of {report.organizations} organizations would be refused;"
            f" at stake per month: {stake or 'nothing'}"
        )

    def _write(self, report: observe_report.Report, path: Path) -> None:
        if str(path) == "-":
            csv.writer(self.stdout).writerows(observe_report.export(report))
            return
        with path.open("w", encoding="utf-8", newline="") as target:
            csv.writer(target).writerows(observe_report.export(report))
        self.console.print(f"{len(report.lines)} lines in {path}")

    def _switch(self, options: dict[str, Any]) -> None:
        found = None
        if options["evidence"]:
            found = evidence.attach(_attachment(options["evidence"]), author=None)
        made = enforcement_modes.switch(
            Order(
                mode=options["mode"],
                reason=options["reason"],
                organization=_organization(options["organization"]),
                subject=options["subject"],
                evidence=found,
            ),
            actor=_ACTOR,
        )
        self._settle()
        self.console.print(f"switched: #{made.pk} {made}")

    def _undo(self, options: dict[str, Any]) -> None:
        standing = EnforcementSwitch.objects.standing().in_order()
        if options["switch"] is not None:
            standing = standing.filter(pk=options["switch"])
        made = standing.last()
        if made is None:
            raise CommandError("there is no such switch to undo")
        enforcement_modes.undo(made, actor=_ACTOR)
        self._settle()
        self.console.print(f"undone: #{made.pk} {made}")

    def _settle(self) -> None:
        """Every limit is derived again before this returns: the switch holds everywhere."""
        if not enforcement_modes.unsettled().exists():
            return
        total = sum(1 for _organization in enforcement_modes.concerned())
        bar = Progress(console=Console(file=sys.stderr), transient=True)
        with bar:
            task = bar.add_task("deriving limits", total=total)
            done = enforcement_modes.settle(lambda: bar.advance(task))
        self.console.print(f"limits of {done} organizations derived")


def _organization(slug: str | None) -> Organization | None:
    if slug is None:
        return None
    found: Organization | None = Organization.objects.open().filter(slug=slug).first()
    if found is None:
        raise CommandError(f"no organization is called {slug}")
    return found


def _attachment(named: str) -> Attachment:
    if "://" in named:
        return Attachment(link=named)
    path = Path(named)
    try:
        return Attachment(file_name=path.name, content=path.read_bytes())
    except OSError as error:
        raise CommandError(f"{named}: {error.strerror}") from error


def _table(report: observe_report.Report) -> Table:
    table = Table("organization", "plan", "kind", "subject", "reason", "flagged", "refused", "MRR")
    for line in report.lines:
        table.add_row(*_cells(line))
    return table


def _cells(line: observe_report.Line) -> list[str]:
    paying = line.paying
    money = format_money(revenue.rounded(paying.amount), paying.currency) if paying else "-"
    return [
        line.organization.slug,
        line.plan or "-",
        line.kind,
        line.subject,
        line.reason,
        str(line.flagged),
        str(line.calls),
        money,
    ]
