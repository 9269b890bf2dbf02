"""`manage.py http_reference [--check]`: every call of the API as a page."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import http_reference


class Command(BaseCommand):
    help = "Write docs/http-reference.md from the OpenAPI that is served."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="fail if it is not current")

    def handle(self, *_args: Any, **options: Any) -> None:
        page, path = http_reference.page(), http_reference.PATH
        if path.is_file() and path.read_text(encoding="utf-8") == page:
            return
        if options["check"]:
            sys.exit(f"{path.name} is not current")
        path.write_text(page, encoding="utf-8")
        self.stdout.write(f"wrote {path.name}")
