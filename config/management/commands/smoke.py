"""`manage.py smoke [--json]`: walk the whole way of a purchase once. 0 it works, 1 it does not."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from rich.console import Console

from billing.findings import Finding
from config.preflight import showing, smoke


class Command(BaseCommand):
    help = "Checkout, return, webhook, portal and seat gate. Live mode charges nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=self.stdout, highlight=False)  # type: ignore[arg-type]

        def tell(found: Finding) -> None:
            if not options["json"]:
                showing.show_one(console, found)

        if not options["json"]:
            mode = "live mode: nothing is charged" if settings.STRIPE_LIVE_MODE else "test mode"
            console.print(f"Smoke run in {mode}.")
        kept = smoke.run(on_step=tell)
        if options["json"]:
            answer = {"passed": kept.passed, "evidence": kept.pk, **kept.report}
            self.stdout.write(json.dumps(answer))
        else:
            console.print(f"{kept.summary}; on file as evidence {kept.pk}.")
        if not kept.passed:
            sys.exit(1)
