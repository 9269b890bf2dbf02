#!/usr/bin/env python
"""Django's command-line door: `python manage.py demo` is the first one to try."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["demo"]:  # a fresh clone has no environment yet
        from config.demo.environment import prepare

        beside = len(sys.argv) > 2 and not sys.argv[2].startswith("-")  # noqa: PLR2004
        prepare(beside=beside)
        if beside:  # `demo doctor` is doctor, in the environment of the demo that runs
            del sys.argv[1]
    if sys.argv[1:2] == ["support-report"]:  # a module's name has no hyphen
        sys.argv[1] = "support_report"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
