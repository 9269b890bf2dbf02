"""Alerts: once per meter, threshold and period; to whom; in which words; and who hears no mail."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone
from structlog.testing import capture_logs

from billing.messages import outbox
from billing.models import EffectivePlan, OutboxMessage
from orgs.models import Role
from quotas import tasks
from quotas.engine import enforcement, limits
from quotas.models import Alert, AlertSetting, RollupMark, UsageControl, UsageLimit
from quotas.reaction import alerts
from quotas.reading import rollups
from quotas.signals import usage_crossed
from tests.billing import selling
from tests.factories.orgs import OrganizationFactory, member_of, owner_of
from tests.factories.quotas import change_head

pytestmark = pytest.mark.django_db

GB = 2**30


@pytest.fixture
def team():
    """On Pro: 100 GB hard, 50,000 AI queries and then billed up to $25."""
    selling.put_on_sale()
    team = OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long")
    now = timezone.now()
    selling.pays(team, period_start=now - timedelta(days=17), period_end=now + timedelta(days=13))
    return team


def use(team, amount, meter="storage"):
    enforcement.record(team, meter, amount, idempotency_key=f"{meter}-{amount}-{timezone.now()}")


def marks(team, meter="storage"):
    found = Alert.objects.filter(organization=team, meter=meter).order_by("threshold")
    return list(found.values_list("threshold", flat=True))


def mails():
    outbox.deliver_due()
    assert not OutboxMessage.objects.exclude(state=OutboxMessage.State.SENT).exists()
    return mail.outbox


def test_below_the_lowest_threshold_nothing_is_said(team):
    use(team, 74 * GB)

    assert alerts.raise_for(team) == []
    assert mails() == []


def test_each_threshold_is_told_once_however_often_it_is_looked(team):
    use(team, 76 * GB)
    alerts.raise_for(team)
    alerts.raise_for(team)
    use(team, 15 * GB)

    alerts.raise_for(team)
    alerts.raise_for(team)

    assert marks(team) == [75, 90]
    assert [each.subject for each in mails()] == [
        "Hạ Long Studio: Storage at 75%",
        "Hạ Long Studio: Storage at 90%",
    ]


def test_a_leap_over_several_thresholds_is_one_mail(team):
    use(team, 100 * GB)

    alerts.raise_for(team)

    assert marks(team) == [75, 90, 100]
    assert [each.subject for each in mails()] == ["Hạ Long Studio: Storage reached its limit"]
    assert "Uploads stop and nothing is deleted." in mail.outbox[0].body


def test_what_falls_and_rises_again_in_one_period_is_told_once(team):
    use(team, 80 * GB)
    alerts.raise_for(team)
    enforcement.release_amount(team, "storage", 50 * GB)
    alerts.raise_for(team)

    use(team, 50 * GB)
    alerts.raise_for(team)

    assert len(mails()) == 1


def test_the_next_period_speaks_again(team):
    use(team, 45_000, "ai_queries")
    alerts.raise_for(team)
    next_month = timezone.now() + timedelta(days=20)
    change_head(team, frozen_at=next_month, valid_until=None)
    use(team, 45_000, "ai_queries")

    alerts.raise_for(team)

    assert marks(team, "ai_queries") == [75, 75, 90, 90]
    assert len(mails()) == 2


def test_a_billed_meter_says_that_it_goes_on_and_then_that_it_stopped(team):
    use(team, 50_001, "ai_queries")
    alerts.raise_for(team)
    use(team, 62_499, "ai_queries")  # $25 at $0.40 per thousand are 62,500

    alerts.raise_for(team)

    reached, stopped = mails()
    assert "extra usage is billed up to your cap" in reached.body
    assert "stopped at the cap" in stopped.subject
    assert marks(team, "ai_queries") == [75, 90, 100, alerts.CAP]


def test_the_organization_chooses_its_thresholds_or_none(team):
    AlertSetting.objects.create(organization=team, thresholds=[40])
    use(team, 95 * GB)
    alerts.raise_for(team)
    AlertSetting.objects.filter(organization=team).update(thresholds=[])
    use(team, 50_000, "ai_queries")

    alerts.raise_for(team)

    assert marks(team) == [40]
    assert marks(team, "ai_queries") == []


def test_owners_and_admins_are_told_and_members_are_not(team):
    admin, member = member_of(team, Role.ADMIN), member_of(team)
    use(team, 80 * GB)

    alerts.raise_for(team)

    assert set(mails()[0].to) == {owner_of(team).email, admin.email}
    assert member.email not in mails()[0].to


def test_the_mail_speaks_the_organizations_language(team):
    team.language = "vi"
    team.save()
    use(team, 80 * GB)

    alerts.raise_for(team)

    body = mails()[0].body
    assert "Dung lượng lưu trữ" in mail.outbox[0].subject
    assert "is used" not in body
    assert "/o/ha-long/settings/usage/" in body


@pytest.mark.parametrize("enforced", ["observe", "disabled"])
def test_where_nothing_is_refused_nobody_is_warned(team, enforced):
    use(team, 100 * GB)
    UsageLimit.objects.filter(organization=team).update(enforcement=enforced)

    assert alerts.raise_for(team) == []


def test_an_unlimited_meter_never_alerts(team):
    use(team, 100 * GB)
    UsageLimit.objects.filter(organization=team).update(amount=None)

    assert alerts.raise_for(team) == []


def test_the_fact_is_announced_for_notices(team):
    heard = []

    def listen(sender, organization, alert, **kwargs):
        heard.append(alerts.facts(alert))

    usage_crossed.connect(listen)
    use(team, 80 * GB)
    alerts.raise_for(team)
    usage_crossed.disconnect(listen)

    assert [(fact["meter"], fact["threshold"], fact["used"]) for fact in heard] == [
        ("storage", 75, 80 * GB)
    ]


def test_the_task_looks_at_every_organization_whose_usage_moved(team):
    UsageControl.objects.create(organization=team, meter="ai_queries", choice="stop")
    use(team, 80 * GB)

    tasks.roll_up_usage()
    tasks.roll_up_usage()

    assert marks(team) == [75]
    assert rollups.staleness_seconds() < 30
    assert len(mails()) == 1


def test_roll_ups_that_stood_still_raise_an_alarm():
    long_ago = timezone.now() - timedelta(minutes=6)
    RollupMark.objects.create(name=rollups.MARK, recorded_until=long_ago)

    with capture_logs() as logs:
        tasks.roll_up_usage()
        tasks.roll_up_usage()

    assert [each["event"] for each in logs].count("alert.usage_stale") == 1


def test_one_organizations_trouble_does_not_silence_the_others(team, monkeypatch):
    broken = OrganizationFactory.create()
    use(team, 80 * GB)
    really = alerts.raise_for

    def fail_for_one(organization):
        if organization == broken:
            raise RuntimeError("something of this organization is broken")
        return really(organization)

    monkeypatch.setattr(alerts, "raise_for", fail_for_one)

    found = alerts.look([broken.pk, team.pk])

    assert found == 1


def moves_to(team, plan):
    """As at the end of what was paid for."""
    effective = EffectivePlan.objects.get(organization=team)
    effective.plan, effective.sequence = selling.plan(plan), effective.sequence + 1
    effective.save()
    limits.derive(team, effective)


def test_a_smaller_plan_says_at_once_what_comes_near_and_what_is_beyond_its_limits(
    team, django_capture_on_commit_callbacks
):
    for _ in range(6):
        member_of(team)
    use(team, 1600 * 2**20)

    with django_capture_on_commit_callbacks(execute=True):
        moves_to(team, "hobby")

    assert marks(team) == [75]
    assert marks(team, "members") == [100]
    assert {each.subject for each in mails()} == {
        "Hạ Long Studio: Storage at 75%",
        "Hạ Long Studio: Members reached its limit",
    }


def test_a_larger_plan_and_the_same_plan_again_say_nothing(
    team, django_capture_on_commit_callbacks
):
    use(team, 1600 * 2**20)
    with django_capture_on_commit_callbacks(execute=True):
        moves_to(team, "hobby")
    Alert.objects.all().delete()

    with django_capture_on_commit_callbacks(execute=True):
        moves_to(team, "hobby")
        moves_to(team, "pro")

    assert marks(team) == []
