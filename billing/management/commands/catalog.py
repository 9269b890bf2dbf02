"""`manage.py catalog check|diff|apply`: what is sold, before and after it is published."""

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from billing.catalog.actions import Action
from billing.catalog.apply import Applied, apply
from billing.catalog.comparison import compare
from billing.catalog.diff import Difference, differences
from billing.catalog.loading import CatalogInvalid, load, path_of
from billing.catalog.schema import Catalog
from billing.catalog.shop import Shop
from billing.exceptions import BillingError
from billing.gateway import stripe_api
from orgs.audit import Actor, ActorKind

_COLOURS = {Action.CONFLICT: "bold red", Action.ARCHIVE: "yellow", Action.REPLACE: "magenta"}
_COLUMNS = ("plan", "what", "name", "file", "database", "Stripe", "apply will")


class Command(BaseCommand):
    help = "Compare the catalogue file with the database and Stripe, and publish it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        check = verbs.add_parser("check", help="validate files and print one line per mistake")
        check.add_argument("catalogs", nargs="*", help="names or paths; default: the current one")
        diff = verbs.add_parser("diff", help="show what differs; change nothing")
        publish = verbs.add_parser(
            "apply", help="make the database and Stripe say what the file says"
        )
        publish.add_argument("--dry-run", action="store_true", help="show, and change nothing")
        publish.add_argument("--yes", action="store_true", help="do not ask")
        diff.add_argument("--exit-code", action="store_true", help="exit with 1 on a difference")
        for verb in (diff, publish):
            verb.add_argument("--catalog", default=None, help="name or path; default: CATALOG")
            verb.add_argument("--json", action="store_true", help="for programs")
            verb.add_argument("--no-stripe", action="store_true", help="file and database only")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "check":
            self._check(options["catalogs"] or [settings.CATALOG])
            return
        try:
            self._compare_or_publish(options)
        except (CatalogInvalid, BillingError) as error:
            raise CommandError(str(error)) from error

    def _check(self, names: list[str]) -> None:
        broken = 0
        for name in names:
            try:
                catalog = load(path_of(name))
            except CatalogInvalid as error:
                self.stderr.write(str(error))
                broken += 1
            else:
                self.stdout.write(f"{path_of(name).name}: {len(catalog.plans)} plans, valid")
        if broken:
            raise CommandError(f"{broken} of {len(names)} cannot be used")

    def _compare_or_publish(self, options: dict[str, Any]) -> None:
        catalog = load(path_of(options["catalog"] or settings.CATALOG))
        shop = None if options["no_stripe"] else _shop()
        rows = differences(compare(catalog, shop, os.environ))
        if options["verb"] == "diff" or options["dry_run"]:
            self._show(catalog, rows, options, stripe=shop is not None)
            if options.get("exit_code") and rows:
                sys.exit(1)
            return
        if not options["json"]:
            self._show(catalog, rows, options, stripe=shop is not None)
        if rows:
            self._agree(options, rows)
        applied = self._publish(catalog, shop)
        self._report(applied, options)

    def _agree(self, options: dict[str, Any], rows: list[Difference]) -> None:
        if options["yes"]:
            return
        if not sys.stdin.isatty():
            raise CommandError("nobody is here to agree; say --yes")
        if input(f"Apply {len(rows)} changes? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was changed")

    def _publish(self, catalog: Catalog, shop: Shop | None) -> Applied:
        actor = Actor(kind=ActorKind.SYSTEM, label="manage.py catalog apply")
        console = Console(file=sys.stderr)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("Publishing", total=len(catalog.plans))
            return apply(
                catalog, shop, os.environ, actor=actor, on_plan=lambda _plan: bar.advance(task)
            )

    def _report(self, applied: Applied, options: dict[str, Any]) -> None:
        if options["json"]:
            rows = [row.as_json() for row in applied.differences]
            self.stdout.write(json.dumps({"applied": rows, "plans": sorted(applied.plans)}))
        elif applied.differences:
            self.stdout.write(f"Applied {len(applied.differences)} changes.")

    def _show(
        self, catalog: Catalog, rows: list[Difference], options: dict[str, Any], *, stripe: bool
    ) -> None:
        if options["json"]:
            found = {"catalog": catalog.key, "stripe": stripe}
            self.stdout.write(json.dumps(found | {"differences": [row.as_json() for row in rows]}))
        elif not rows:
            against = "database and Stripe" if stripe else "database"
            self.stdout.write(f"{catalog.key}: file and {against} agree.")
        elif sys.stdout.isatty():
            Console().print(_table(catalog, rows))
        else:
            for row in rows:
                self.stdout.write(str(row))


def _shop() -> Shop | None:
    return stripe_api if stripe_api.is_configured() else None


def _table(catalog: Catalog, rows: list[Difference]) -> Table:
    table = Table(title=f"Catalogue {catalog.key}", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        action = f"{row.action}: {row.note}" if row.note else str(row.action)
        table.add_row(
            row.plan,
            row.subject,
            row.name,
            row.file,
            row.database,
            row.stripe,
            action,
            style=_COLOURS.get(row.action),
        )
    return table
