"""Reconciliation: what differs from the ledger is shown, then repaired towards it."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from orgs.models import AuditEntry
from quotas.engine import counters, refresh
from quotas.engine.enforcement import check, consume, reserve
from quotas.models import Balance, QuotaHead, Rollup
from quotas.reading import reconciliation, rollups
from quotas.reading.reconciliation import Kind
from tests.factories.quotas import limited

pytestmark = pytest.mark.django_db


def reconcile(*options):
    """What the command says, and whether it found anything."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("usage", "reconcile", *options, stdout=out, stderr=err)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


@pytest.fixture
def team():
    team = limited(storage=1000, ai_queries=100)
    consume(team, "storage", 300, idempotency_key="file")
    consume(team, "ai_queries", 40, idempotency_key="query", member="ann")
    reserve(team, "storage", 50, idempotency_key="hold")
    return team


def test_a_healthy_installation_agrees_with_its_ledger(team):
    said, code = reconcile()

    assert code == 0
    assert "agree" in said


def test_a_wrong_balance_is_shown_before_anything_is_repaired(team):
    Balance.objects.filter(organization=team, meter="storage").update(used=999)

    said, code = reconcile()

    assert code == 1
    assert f"{team.slug}  balance  storage" in said
    assert "300  999" in said
    assert Balance.objects.get(organization=team, meter="storage").used == 999


def test_people_at_a_terminal_see_a_table_and_what_became_of_it(team, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    Balance.objects.filter(organization=team, meter="storage").update(used=999)

    said, code = reconcile("--repair")

    assert code == 0
    assert "ledger says" in said
    assert "999" in said
    assert "repaired 1 differences" in said
    assert Balance.objects.get(organization=team, meter="storage").used == 300


@pytest.mark.parametrize("meter", ["storage", "ai_queries"])
@pytest.mark.parametrize("wrong", [0, 7, 999])
def test_a_wrong_balance_is_repaired_towards_the_ledger_and_written_down(team, meter, wrong):
    Balance.objects.filter(organization=team, meter=meter).update(used=wrong)

    said, code = reconcile("--repair")

    right = {"storage": 300, "ai_queries": 40}[meter]
    entry = AuditEntry.objects.get(action="usage.reconciled")
    assert (code, "repaired 1 differences" in said) == (0, True)
    assert Balance.objects.get(organization=team, meter=meter).used == right
    assert (entry.before, entry.after) == ({f"balance {meter}": wrong}, {f"balance {meter}": right})


def test_a_lost_balance_is_made_again(team):
    before = Balance.objects.get(organization=team, meter="ai_queries")
    Balance.objects.filter(organization=team, meter="ai_queries").delete()

    reconcile("--repair")

    after = Balance.objects.get(organization=team, meter="ai_queries")
    assert (after.used, after.period_start, after.period_end) == (
        40,
        before.period_start,
        before.period_end,
    )


def test_a_checkpoint_stands_for_the_partitions_that_were_dropped(team):
    Balance.objects.filter(organization=team, meter="storage").update(checkpoint=500, used=800)
    rollups.catch_up()
    for row in Rollup.objects.filter(organization=team, meter="storage"):
        _copy_of(row, days_ago=120, added=500)

    _said, code = reconcile()

    assert code == 0


def test_a_wrong_hold_follows_the_open_reservations(team):
    Balance.objects.filter(organization=team, meter="storage").update(held=777)

    said, _code = reconcile("--repair")

    assert "50  777" in said
    assert Balance.objects.get(organization=team, meter="storage").held == 50


@pytest.mark.parametrize("grain", ["hour", "day"])
def test_roll_ups_that_the_ledger_does_not_say_are_rebuilt(team, grain):
    rollups.catch_up()
    row = Rollup.objects.get(organization=team, meter="storage", grain=grain)
    _copy_of(row, days_ago=40, added=1)

    found = json.loads(reconcile("--json")[0])
    reconcile("--repair")

    kinds = {each["kind"] for each in found}
    assert kinds == {{"hour": "hourly roll-ups", "day": "daily roll-ups"}[grain]}
    assert Rollup.objects.get(organization=team, meter="storage", grain=grain).added == 300


def _copy_of(row, *, days_ago, added):
    Rollup.objects.create(
        organization_id=row.organization_id,
        meter=row.meter,
        grain=row.grain,
        bucket=row.bucket - timedelta(days=days_ago),
        period_start=row.period_start,
        added=added,
        removed=0,
        events=1,
        refused=0,
    )


def test_one_organization_can_be_asked_for_alone(team):
    other = limited(storage=10)
    consume(other, "storage", 5, idempotency_key="file")
    Balance.objects.filter(meter="storage").update(used=9)

    found = json.loads(reconcile("--json", "--organization", other.slug)[0])

    assert {each["organization"] for each in found} == {str(other.pk)}
    with pytest.raises(CommandError, match="no organization"):
        reconcile("--organization", "nobody")


@pytest.mark.django_db(transaction=True)
def test_a_poisoned_reading_in_redis_is_found_and_voided(durable):
    team = limited(storage=1000)
    consume(team, "storage", 300, idempotency_key="file")
    check(team, "storage")
    refresh.flush()
    (place, reading), *_ = counters.stored(team.pk).items()
    head = QuotaHead.objects.get(organization=team)
    poisoned = reading.after(used=1, sequence=head.sequence + 1)
    counters.store({(team.pk, *place): poisoned})
    rollups.catch_up()

    found = reconciliation.differences([team.pk])
    reconciliation.repair(team.pk)

    assert [(each.kind, each.expected, each.found) for each in found] == [(Kind.REDIS, 300, 1)]
    assert not any(reading.used == 1 for reading in counters.stored(team.pk).values())
    assert check(team, "storage").used == 300


def test_the_status_says_how_old_the_roll_ups_are(team):
    out = io.StringIO()
    rollups.catch_up()

    call_command("usage", "status", stdout=out)

    assert "usage_staleness_seconds 0." in out.getvalue()
