"""`manage.py support-report [FILE]`: diagnostics without secrets and personal data, as JSON."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.preflight import support_report


class Command(BaseCommand):
    help = "Write what support needs to know: counts, versions, states and the doctor's findings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="default: the output")

    def handle(self, *args: Any, **options: Any) -> None:
        text = json.dumps(support_report.build(), indent=2, default=str)
        if options["file"] is None:
            self.stdout.write(text)
            return
        try:
            options["file"].write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from error
        self.stdout.write(f"{options['file']}: {len(text)} characters; read it before you send it.")
