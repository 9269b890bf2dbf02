"""The banner about usage: the worst of it, to whom it concerns, with the way out."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import Access, EffectivePlan
from orgs.models import Role
from quotas.engine import enforcement
from quotas.engine.periods import Period
from quotas.models import Rollup, UsageLimit
from quotas.reading import history, usage
from tests.billing import selling
from tests.factories.orgs import OrganizationFactory, member_of, owner_of

pytestmark = pytest.mark.django_db

GB = 2**30


@pytest.fixture
def team():
    selling.put_on_sale()
    team = OrganizationFactory.create(slug="ha-long")
    now = timezone.now()
    selling.pays(team, period_start=now - timedelta(days=17), period_end=now + timedelta(days=13))
    return team


def use(team, amount, meter="storage"):
    enforcement.record(team, meter, amount, idempotency_key=f"{meter}-{amount}")


def banner_for(client, user, team):
    client.force_login(user)
    html = client.get(reverse("orgs:members", kwargs={"slug": team.slug})).content.decode()
    found = html.partition('id="banner"')[2].partition("</section>")[0]
    return " ".join(found.replace("&nbsp;", " ").split())


def test_who_pays_is_led_to_the_plans(client, team):
    use(team, 110 * GB)

    banner = banner_for(client, owner_of(team), team)

    assert "<h2>Storage is full</h2>" in banner
    assert "Uploads stop and nothing is deleted. Free 10 GB, or get more." in banner
    assert "/o/ha-long/settings/billing/#plans" in banner


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER])
def test_who_does_not_pay_is_told_whom_to_ask(client, team, role):
    use(team, 110 * GB)

    banner = banner_for(client, member_of(team, role), team)

    assert "Storage is full" in banner
    assert "Ask an owner" in banner
    assert "#plans" not in banner


def test_past_a_soft_limit_the_price_is_said_to_who_pays_it(client, team):
    use(team, 52_800, "ai_queries")

    to_owner = banner_for(client, owner_of(team), team)
    to_member = banner_for(client, member_of(team), team)

    assert "AI queries: you are past the included 50,000" in to_owner
    assert "Extra usage costs $0.40 per 1,000. So far $1.12." in to_owner
    assert "capped at $25.00" in to_owner
    assert "It keeps working." in to_member
    assert "$" not in to_member


def test_at_the_cap_it_stopped_for_everyone(client, team):
    use(team, 112_500, "ai_queries")

    banner = banner_for(client, owner_of(team), team)

    assert "the cap for extra usage is reached" in banner
    assert "It stops for everyone." in banner


def test_the_worst_is_said_first(client, team):
    use(team, 52_800, "ai_queries")
    use(team, 95 * GB)

    assert "Storage: 95% is used" in banner_for(client, owner_of(team), team)


def test_a_locked_workspace_says_so_before_anything_about_usage(client, team):
    use(team, 110 * GB)
    EffectivePlan.objects.filter(organization=team).update(access=Access.READ_ONLY)

    assert "read-only" in banner_for(client, owner_of(team), team)


@pytest.mark.parametrize("mode", ["observe", "disabled"])
def test_what_is_not_enforced_alarms_nobody(client, team, mode):
    use(team, 110 * GB)
    UsageLimit.objects.filter(organization=team).update(enforcement=mode)

    assert banner_for(client, owner_of(team), team) == ""


def test_without_a_catalogue_pages_have_no_banner_and_no_meters(client):
    team = OrganizationFactory.create()

    assert usage.glance(team) == []


# --- Days as people live them -----------------------------------------------------------------


def test_days_are_those_of_the_organizations_zone(team):
    """Half an hour before midnight in Hanoi is 16:30 of the same day in UTC (C15)."""
    hanoi = ZoneInfo("Asia/Ho_Chi_Minh")
    window = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    for hour, amount in ((16, 5), (17, 7)):
        _hour(team, datetime(2026, 11, 10, hour, tzinfo=UTC), amount)

    days = history.changes(team, "storage", window, hanoi)

    assert [(day.astimezone(hanoi).day, amount) for day, amount in days] == [(10, 5), (11, 7)]


def test_a_day_of_25_hours_is_one_day(team):
    berlin = ZoneInfo("Europe/Berlin")
    window = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    begins = datetime(2026, 10, 25, 0, tzinfo=berlin).astimezone(UTC)
    for hour in range(25):
        _hour(team, begins + timedelta(hours=hour), 1)

    days = history.changes(team, "storage", window, berlin)

    assert [amount for _day, amount in days] == [25]


def _hour(team, bucket, amount):
    Rollup.objects.create(
        organization=team,
        grain=Rollup.Grain.HOUR,
        meter="storage",
        bucket=bucket,
        period_start=datetime(1970, 1, 1, tzinfo=UTC),
        added=amount,
        removed=0,
        events=1,
        refused=0,
    )
