"""`manage.py doctor [--json] [--strict]`: is everything set up? 0 yes, 1 something failed."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console

from billing import findings
from config.preflight import doctor, showing


class Command(BaseCommand):
    help = "Look at keys, webhooks, prices, portal, tax, clocks, servers and settings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument("--strict", action="store_true", help="a warning is a failure")
        parser.add_argument("--no-store", action="store_true", help="keep no evidence of this run")

    def handle(self, *args: Any, **options: Any) -> None:
        found = doctor.examine()
        passed = findings.passed(found, strict=options["strict"])
        kept = None if options["no_store"] else doctor.keep(found)
        if options["json"]:
            answer = {
                "passed": passed,
                "evidence": kept.pk if kept else None,
                "findings": [each.as_json() for each in found],
            }
            self.stdout.write(json.dumps(answer))
        else:
            showing.show(Console(file=self.stdout, highlight=False), found)  # type: ignore[arg-type]
        if not passed:
            sys.exit(1)
