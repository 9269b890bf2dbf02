"""`manage.py settings_reference [--check]`: the page and the example of what can be set."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import settings_reference


class Command(BaseCommand):
    help = "Write docs/settings.md, .env.example and the chart's secrets from the settings."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="fail if one is not current")

    def handle(self, *_args: Any, **options: Any) -> None:
        stale = [
            path
            for path, text in settings_reference.documents().items()
            if not path.is_file() or path.read_text(encoding="utf-8") != text
        ]
        if options["check"]:
            sys.exit("; ".join(f"{path.name} is not current" for path in stale) or 0)
        for path in stale:
            path.write_text(settings_reference.documents()[path], encoding="utf-8")
            self.stdout.write(f"wrote {path.name}")
