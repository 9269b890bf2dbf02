"""`manage.py sample_week`: the demo's organizations try everything that somebody pays for.

Prints what was refused beside what observe mode had written down; 1 where an enforced
organization was refused anything else.
"""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from config.demo import paid_acts, sample_data
from orgs.models import Organization


class Command(BaseCommand):
    help = "Lets the sample organizations try a week of paid acts, and compares."

    def handle(self, *_args: Any, **_options: Any) -> None:
        teams = sample_data.teams()
        foretold = paid_acts.written_down(teams)
        refused = paid_acts.Refused()
        for team in teams:
            refused += paid_acts.week(team)
        self._show(teams, foretold, refused)
        enforced = {team.slug for team in teams if not paid_acts.is_observed(team)}
        expected = {
            place: calls for place, calls in foretold.items() if place.organization in enforced
        }
        if refused != expected:
            sys.exit(1)

    def _show(
        self,
        teams: list[Organization],
        foretold: paid_acts.Refused,
        refused: paid_acts.Refused,
    ) -> None:
        table = Table("organization", "paid act", "foretold", "refused")
        for place in sorted(foretold.keys() | refused.keys()):
            table.add_row(*place, str(foretold[place]), str(refused[place]))
        console = Console(file=self.stdout, highlight=False)  # type: ignore[arg-type]
        console.print(table)
        console.print(f"{len(teams)} organizations: {refused.total()} paid acts were refused.")
