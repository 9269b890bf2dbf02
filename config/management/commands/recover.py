"""`manage.py recover`: after a restore from backup, before anything else starts."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from billing import findings
from config import recovery
from config.preflight import showing


class Command(BaseCommand):
    help = "After a restore: number beyond what was given out, fetch Stripe again, compare usage."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--restored", action="store_true", help="yes, this database comes from a backup"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["restored"]:
            raise CommandError("Say --restored where this database comes from a backup.")
        console = Console(file=self.stdout, highlight=False)  # type: ignore[arg-type]
        found = []
        for each in recovery.recover():
            showing.show_one(console, each)
            found.append(each)
        if not findings.passed(found, strict=False):
            sys.exit(1)
