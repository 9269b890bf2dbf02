"""`make messages`: collects the strings to translate, merges and compiles them."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config import messages


class Command(BaseCommand):
    help = "Collects, merges and compiles translations. Needs no gettext program."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--compile", action="store_true", help="compile only")
        parser.add_argument("--check", action="store_true", help="fail if one is missing")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["compile"]:
            messages.add_languages(
                code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE
            )
            for path in messages.merge(messages.collect()):
                self.stdout.write(f"merged {path}")
        for path in messages.compile_stale():
            self.stdout.write(f"compiled {path}")
        if options["check"] and (missing := messages.untranslated()):
            self.stderr.write("\n".join(missing))
            sys.exit(f"{len(missing)} translations are missing.")
