"""Before enforcement somebody says of every organization what it is."""

import csv
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.models import Classification, EffectivePlan, Grant, Source, SubscriptionPlan
from orgs.models import AuditEntry
from quotas import enforcement_modes
from tests.factories.orgs import OrganizationFactory, owner_of

pytestmark = pytest.mark.django_db
NEXT_YEAR = (timezone.now() + timedelta(days=300)).date().isoformat()


@pytest.fixture
def workspaces(settings):
    """Document 002 on sale; four teams and their owners' personal organizations."""
    settings.CATALOG = "workspaces"
    apply(catalog.current(), None, {})
    teams = {
        slug: OrganizationFactory.create(slug=slug, name=f"={slug}")
        for slug in ("paying", "piloting", "signed", "alone")
    }
    plan = SubscriptionPlan.objects.get(catalog="workspaces", key="teams")
    for team in teams.values():
        store.current(team)
    EffectivePlan.objects.filter(organization=teams["paying"]).update(
        source=Source.STRIPE, plan=plan, seats=4
    )
    return teams


@pytest.fixture
def sheet(tmp_path):
    def write(*rows, columns=("organization", "class", "plan", "seats", "until", "reason")):
        path = tmp_path / "decided.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as target:
            csv.writer(target).writerows([columns, *rows])
        return str(path)

    return write


def rows_of(path):
    with path.open(newline="") as source:
        return {row["organization"].removeprefix("'"): row for row in csv.DictReader(source)}


def kinds():
    return dict(Classification.objects.values_list("organization__slug", "kind"))


DECIDED = (
    ("paying", "stripe", "", "", "", ""),
    ("piloting", "pilot", "teams", "5", NEXT_YEAR, "pilot of the spring"),
    ("signed", "contract", "enterprise", "40", "", "order form 7"),
    ("alone", "solo", "", "", "", "a creator"),
)


def test_who_is_not_classified_is_exported_with_a_proposal_where_one_is_certain(
    workspaces, tmp_path
):
    out = tmp_path / "left.csv"

    call_command("billing", "classify", "--export", str(out))

    rows = rows_of(out)
    assert len(rows) == enforcement_modes.unclassified().count() == 8
    assert (rows["paying"]["class"], rows["paying"]["plan"]) == ("stripe", "teams")
    assert rows["piloting"]["class"] == "", "a team on the default plan may be a forgotten pilot"
    personal = owner_of(workspaces["alone"]).organizations.get(kind="personal")
    assert rows[personal.slug]["class"] == "default"
    assert rows["alone"]["name"] == "'=alone", "no cell is a formula"


def test_a_contract_that_was_given_before_is_applied_as_it_was_exported(workspaces, tmp_path):
    signed, out = workspaces["signed"], tmp_path / "left.csv"
    given = Grant.objects.create(
        organization=signed, source="contract", plan_key="enterprise", reason="order form 7",
        seats=40, ends_at=timezone.now() + timedelta(days=300),
    )  # fmt: skip
    store.rederive(signed, cause="contract")
    call_command("billing", "classify", "--export", str(out))
    mine = [line for line in out.read_text().splitlines() if line.startswith(("organ", "signed,"))]
    out.write_text("\n".join(mine) + "\n")

    for _again in range(2):
        call_command("billing", "classify", str(out), "--apply")

    assert kinds() == {"signed": "contract"}
    assert list(Grant.objects.filter(organization=signed, revoked_at=None)) == [given]


def test_the_dry_run_changes_nothing_and_the_applied_file_gives_the_plans(
    workspaces, sheet, capsys
):
    file = sheet(*DECIDED)

    call_command("billing", "classify", file)
    assert "nothing was changed" in capsys.readouterr().out
    assert (kinds(), Grant.objects.count()) == ({}, 0)

    call_command("billing", "classify", file, "--apply")

    assert kinds() == {
        "paying": "stripe", "piloting": "pilot", "signed": "contract", "alone": "default",
    }  # fmt: skip
    pilot, signed = (store.current(workspaces[slug]) for slug in ("piloting", "signed"))
    assert (pilot.plan.key, pilot.source, pilot.seats) == ("teams", "pilot", 5)
    assert pilot.ends_at.date().isoformat() > NEXT_YEAR
    assert (signed.plan.key, signed.source, signed.seats) == ("enterprise", "contract", 40)
    assert store.current(workspaces["alone"]).plan.key == "solo"
    assert AuditEntry.objects.filter(action="billing.classified").count() == 4
    assert "4 classified" in capsys.readouterr().out


def test_a_run_that_broke_off_is_finished_by_the_next_one(workspaces, sheet, tmp_path, capsys):
    call_command("billing", "classify", sheet(*DECIDED[:2]), "--apply")
    out = tmp_path / "result.csv"

    call_command("billing", "classify", sheet(*DECIDED), "--apply", "--out", str(out))

    assert {slug: row["result"] for slug, row in rows_of(out).items()} == {
        "paying": "already", "piloting": "already", "signed": "classified", "alone": "classified",
    }  # fmt: skip
    assert Grant.objects.count() == 2
    assert "2 already, 2 classified" in capsys.readouterr().out


def test_another_decision_ends_the_grant_of_the_former_one(workspaces, sheet):
    call_command("billing", "classify", sheet(*DECIDED), "--apply")

    call_command(
        "billing", "classify", sheet(("piloting", "default", "", "", "", "it is over")), "--apply"
    )

    assert kinds()["piloting"] == "default"
    assert store.current(workspaces["piloting"]).plan.key == "solo"
    assert Grant.objects.get(source="pilot").revoked_at is not None


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("nobody", "default", "", "", "", ""), "no open organization"),
        (("alone", "friend", "", "", "", ""), "class must be one of"),
        (("alone", "stripe", "", "", "", ""), "no subscription"),
        (("paying", "default", "", "", "", ""), "pays by Stripe"),
        (("alone", "pilot", "", "", "", "x"), "plan is empty"),
        (("alone", "pilot", "solo", "", "", "x"), "default plan"),
        (("alone", "pilot", "gold", "", "", "x"), "no such plan"),
        (("alone", "pilot", "teams", "", "", ""), "Say why"),
        (("alone", "pilot", "teams", "-3", "", "x"), "seats must be"),
        (("alone", "pilot", "teams", "", "31.12.2027", "x"), "until must be a day"),
        (("alone", "pilot", "teams", "", "2020-01-01", "x"), "until is past"),
    ],
)
def test_a_row_that_makes_no_sense_is_named_and_left_alone(workspaces, sheet, capsys, row, problem):
    with pytest.raises(SystemExit):
        call_command("billing", "classify", sheet(row, DECIDED[2]), "--apply")

    assert problem.lower() in capsys.readouterr().out.lower()
    assert kinds() == {"signed": "contract"}, "the others are done all the same"


def test_an_organization_named_twice_and_a_file_without_its_columns_are_refused(
    workspaces, sheet, capsys, tmp_path
):
    with pytest.raises(SystemExit):
        call_command("billing", "classify", sheet(DECIDED[3], DECIDED[3]), "--apply")
    assert "twice" in capsys.readouterr().out
    for broken in (sheet(("a", "b"), columns=("slug", "kind")), str(tmp_path / "none.csv")):
        with pytest.raises(CommandError):
            call_command("billing", "classify", broken)


def test_once_everybody_is_classified_enforcement_may_begin(workspaces, sheet, tmp_path):
    out = tmp_path / "left.csv"
    call_command("billing", "classify", "--export", str(out))
    text = out.read_text()
    for slug, kind in (("piloting", "default"), ("signed", "default"), ("alone", "default")):
        start = text.index(f"\n{slug},") + 1
        end = text.index("\n", start)
        cells = text[start:end].split(",")
        cells[5] = kind
        text = text[:start] + ",".join(cells) + text[end:]
    out.write_text(text)

    call_command("billing", "classify", str(out), "--apply")

    assert not enforcement_modes.unclassified().exists()
