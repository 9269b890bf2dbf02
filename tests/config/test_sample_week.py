"""Observe, report, enforce on the demo's data: what was foretold is what is then refused."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing import catalog, evidence
from billing.catalog.apply import apply
from billing.entitlement import grants
from billing.evidence import Attachment
from billing.models import Classification, Grant, Source
from config.demo import paid_acts, sample_data
from config.embedded import BASE_DIR, reset
from quotas import enforcement_modes
from quotas.enforcement_modes import Order, SwitchRefused
from quotas.reading import observe_report
from tests.billing.selling import unpaid
from tests.config.test_demo import demo, ready
from tests.factories.orgs import OrganizationFactory, UserFactory


@pytest.fixture
def samples(db, settings):
    """The sample organizations of document 002's product, on their plans by hand; one owes."""
    settings.CATALOG = "workspaces"
    apply(catalog.current(), None, {})
    for number, sample in enumerate(sample_data._samples()):
        team = OrganizationFactory.create(name=sample.name, slug=sample.slug)
        if sample.plan.kind != "free":
            Grant.objects.create(
                organization=team, source=Source.CONTRACT, plan_key=sample.plan.key, reason="demo"
            )
        if number == 0:
            unpaid(team, finalized_at=timezone.now() - timedelta(days=1))
    return sample_data.teams()


def foretold(teams):
    """The report's own figure, of the paid acts alone."""
    slugs = {team.slug for team in teams}
    return {
        (line.organization.slug, line.subject): line.calls
        for line in observe_report.of().lines
        if line.organization.slug in slugs and line.kind == "feature"
    }


def test_what_the_report_foretells_of_the_demos_week_is_what_is_refused_after_the_switch(samples):
    for team in samples:
        assert paid_acts.is_observed(team)
        assert paid_acts.week(team) == Counter()
    before = foretold(samples)
    assert {slug for slug, _feature in before} == {"northwind-labs", "blue-lantern"}
    assert before == dict(paid_acts.written_down(samples))

    order = Order(
        mode="enforce",
        reason="everybody is classified",
        evidence=evidence.attach(Attachment(link="https://example.com/qa"), author=None),
    )
    staff = UserFactory.create()
    with pytest.raises(SwitchRefused):
        enforcement_modes.switch(order, actor=staff)
    for each in enforcement_modes.unclassified():
        Classification.objects.create(organization=each, kind="default")
    enforcement_modes.switch(order, actor=staff)
    enforcement_modes.settle()

    after = sum((paid_acts.week(team) for team in samples), paid_acts.Refused())
    assert dict(after) == before == foretold(samples)
    call_command("sample_week")


def test_the_command_says_when_the_report_was_wrong(samples, capsys):
    for team in samples:
        paid_acts.week(team)
    staff = UserFactory.create()
    for each in enforcement_modes.unclassified():
        Classification.objects.create(organization=each, kind="default")
    found = evidence.attach(Attachment(link="https://example.com/qa"), author=None)
    enforcement_modes.switch(Order(mode="enforce", reason="go", evidence=found), actor=staff)
    enforcement_modes.settle()
    grants.revoke(Grant.objects.get(organization=samples[2]), actor=staff)

    with pytest.raises(SystemExit):
        call_command("sample_week")


@pytest.mark.verify
def test_the_demo_itself_is_observed_reported_and_enforced(report):
    """By the commands of docs/walk-through.md, against servers, webhooks and a worker."""
    with TemporaryDirectory(prefix="ledgerline-week-") as name:
        var = Path(name)
        var.chmod(0o755)
        with demo(var, CATALOG="workspaces") as process:
            ready(process)
            port = json.loads((var / "demo.json").read_text())["base_url"].rpartition(":")[2]
            run = beside(var, port)
            run("enforcement", "report", "--csv", str(var / "before.csv"))
            run("billing", "classify", "--export", str(var / "left.csv"))
            fill(var / "left.csv")
            run("billing", "classify", str(var / "left.csv"), "--apply")
            switch = ("enforcement", "switch", "enforce", "--reason", "all classified")
            run(*switch, "--evidence", str(var / "before.csv"))
            said = run("sample_week")
            run("enforcement", "report", "--csv", str(var / "after.csv"))
        reset(var)
        assert (var / "before.csv").read_text() == (var / "after.csv").read_text()
        rows = list(csv.DictReader((var / "before.csv").read_text().splitlines()))
        calls = sum(int(row["calls"]) for row in rows if row["kind"] == "feature")
    assert calls > 0
    assert f": {calls} paid acts were refused." in said
    report(f"{len(rows)} lines were foretold, {calls} paid acts were refused, as foretold")


def beside(var, port):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    places = {"LEDGERLINE_VAR": str(var), "PORT": port, "CATALOG": "workspaces", "COLUMNS": "200"}

    def run(*arguments):
        ended = subprocess.run(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=BASE_DIR, env=kept | places, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


def fill(path):
    """A person's decision: whatever has no proposal is on the default plan on purpose."""
    with path.open(newline="") as source:
        rows = list(csv.DictReader(source))
    with path.open("w", newline="") as target:
        writer = csv.DictWriter(target, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"class": row["class"] or "default"} for row in rows)
