"""Runbooks: every alert has one, and what they tell people to type is understood."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
PAGES = [path for path in RUNBOOKS if path.name != "README.md"]
PARTS = ["Symptom", "Look", "Do", "Check", "Never"]
COMMAND = re.compile(r"python manage\.py ([^\n`]+)")
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"][0]["rules"]


def test_every_alert_links_a_runbook_that_names_it():
    for rule in ALERTS:
        page = ROOT / rule["annotations"]["runbook"]

        assert page in PAGES, rule["alert"]
        assert f"`{rule['alert']}`" in page.read_text(), rule["alert"]


def test_every_alert_that_a_runbook_names_is_raised():
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", page.read_text())
    }

    assert named - {rule["alert"] for rule in ALERTS} == set()


def test_the_list_of_runbooks_has_them_all():
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs/runbooks/README.md").read_text())

    assert sorted(listed) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_by_what_to_know_it_where_to_look_what_to_do_and_what_never(page):
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == PARTS


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_what_a_runbook_tells_to_type_is_understood(page):
    """Each command is parsed by the command itself, with its verbs and options."""
    apps = get_commands()

    for line in COMMAND.findall(page.read_text()):
        name, *arguments = shlex.split(line)
        command = load_command_class(apps[name], name)
        command.create_parser("manage.py", name).parse_args(arguments)
