"""Why this plan and these limits: in the API, on the page, for staff, as of any time."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import clock, history, store
from billing.models import BillingAccount, Grant, Source
from orgs.models import Role
from quotas import allowances, satellites
from quotas.engine import enforcement
from quotas.models import LimitAdjustment, UsageLimit
from quotas.reading import why
from tests.billing import selling
from tests.factories.orgs import OrganizationFactory, member_of, owner_of
from tests.factories.quotas import SatelliteFactory

pytestmark = pytest.mark.django_db

GB = 2**30
DAY = timedelta(days=1)


@pytest.fixture
def team():
    """Eight seats on a pilot of Pro; its clock stands on 1 May."""
    selling.put_on_sale()
    team = OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long")
    BillingAccount.objects.update_or_create(
        organization=team, defaults={"frozen_at": timezone.now() - 200 * DAY}
    )
    store.rederive(team, cause="sign-up")
    return team


def given(team, source=Source.PILOT, **fields):
    now = clock.now_for(team)
    terms = {"plan_key": "pro", "seats": 8, "reason": "x", "starts_at": now, "ends_at": None}
    Grant.objects.create(organization=team, source=source, **terms | fields)
    return store.rederive(team, cause="grant")


def passes(team, days):
    account = BillingAccount.objects.get(organization=team)
    account.frozen_at = clock.now_for(team) + days * DAY
    account.save()


def pack(team, amount):
    now = clock.now_for(team)
    allowances.adjust_limit(
        team, "storage", LimitAdjustment.Mode.ADD, amount, reason="pack", starts_at=now
    )


def ask(team, **query):
    _row, secret = satellites.issue_token(SatelliteFactory.create())
    return Client().get(
        f"/api/v1/organizations/{team.slug}/entitlements",
        query,
        headers={"Authorization": f"Bearer {secret}"},
    )


def sentence(team, meter):
    reasons = why.of(store.current(team), clock.now_for(team), is_now=True)
    return next(why.sentence(reason) for reason in reasons if reason.key == meter)


def test_a_full_meter_says_what_its_limit_adds_up_from_and_what_stops(team):
    given(team)
    pack(team, 20 * GB)
    enforcement.consume(team, "storage", 120 * GB, idempotency_key="a").or_raise()

    assert sentence(team, "storage") == (
        "Storage 120 GB = Pro 100 GB + pack 20 GB, used 120 GB."
        " Uploads stop and nothing is deleted."
    )


def test_seats_that_share_a_pool_are_multiplied_in_the_sum(settings, team, tmp_path):
    settings.CATALOG = "sessions"
    apply(catalog.current(), None, {})
    given(team, plan_key="team")
    pack(team, 20 * GB)
    enforcement.consume(team, "storage", 28 * GB, idempotency_key="a").or_raise()

    said = sentence(team, "storage")

    assert said.startswith("Cloud storage 28 GB = Team 1 GB × 8 seats + pack 20 GB, used 28 GB.")  # noqa: RUF001


@pytest.mark.parametrize("name", ["suite", "sessions", "tokens", "workspaces", "containers"])
def test_the_sum_is_the_limit_that_is_enforced_on_every_plan(settings, name):
    settings.CATALOG = name
    apply(catalog.current(), None, {})
    team = OrganizationFactory.create()
    for key, entry in catalog.current().plans.items():
        row = given(team, Source.SITE_OWNER, plan_key=key, seats=3)
        assert row.plan.key == key, entry
        derived = dict(UsageLimit.objects.filter(organization=team).values_list("meter", "amount"))
        for reason in why.of(row, clock.now_for(team), is_now=False):
            assert reason.limit == derived[reason.key], (key, reason)


def test_the_past_is_told_as_it_was(durable, team):
    began = clock.now_for(team)
    passes(team, 10)
    given(team, ends_at=clock.now_for(team) + 20 * DAY)
    enforcement.consume(team, "storage", 7 * GB, idempotency_key="a").or_raise()
    passes(team, 5)
    pack(team, 20 * GB)
    enforcement.consume(team, "storage", GB, idempotency_key="b").or_raise()
    passes(team, 100)
    store.rederive(team, cause="time")

    def then(days):
        found = ask(team, at=(began + days * DAY).isoformat())
        assert found.status_code == 200, found.content
        return found.json()

    assert then(1)["plan"] == "hobby"
    pilot = then(11)
    assert (pilot["plan"], pilot["source"]) == ("pro", "pilot")
    assert pilot["why"]["meters"]["storage"]["sentence"] == (
        "Storage 100 GB = Pro 100 GB, used 7 GB."
    )
    assert then(16)["why"]["meters"]["storage"]["sentence"] == (
        "Storage 120 GB = Pro 100 GB + pack 20 GB, used 8 GB."
    )
    # Nobody looked between the end of the pilot and the hundredth day.
    ended = then(31)
    assert (ended["plan"], ended["source"]) == ("hobby", "default")
    assert any("It has ended" in line["sentence"] for line in ended["why"]["sources"])
    now = ask(team, why="").json()
    assert [part["source"] for part in now["why"]["meters"]["storage"]["parts"]] == ["plan", "pack"]
    assert "why" not in ask(team).json()
    wins = [line["what"] for line in pilot["why"]["sources"] if line.get("wins")]
    assert wins == ["Pilot"]
    for bad in ("tomorrow", (began - DAY).isoformat(), (began + 900 * DAY).isoformat()):
        assert ask(team, at=bad).status_code == 422


def test_the_page_explains_plan_limits_and_features_to_those_who_manage_billing(team):
    given(team)
    client = Client()
    client.force_login(owner_of(team))

    billing = client.get(f"/o/{team.slug}/settings/billing/").content.decode()
    page = client.get(f"/o/{team.slug}/settings/billing/why/").content.decode()

    assert f"/o/{team.slug}/settings/billing/why/" in billing
    assert "Pro (Pilot)" in page
    assert "It gives Pro." in page
    assert "Storage 100 GB = Pro 100 GB, used 0 B." in page
    assert ": on, because Pro has it" in page
    client.force_login(member_of(team, Role.MEMBER))
    assert client.get(f"/o/{team.slug}/settings/billing/why/").status_code == 403


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("yesterday", "This is not a date and time."),
        ("2026-02-31T00:00", "This is not a date and time."),
        ("2099-01-01T00:00", "That is still to come."),
        ("1999-01-01T00:00", "Nothing was known of it at that time."),
    ],
)
def test_the_page_says_why_it_has_no_answer(team, asked, words):
    client = Client()
    client.force_login(owner_of(team))

    page = client.get(f"/o/{team.slug}/settings/billing/why/", {"at": asked})

    assert page.status_code == 200
    assert words in page.content.decode()


def test_staff_see_it_in_the_admin_and_others_do_not(team, admin_client, settings):
    settings.ADMIN_REQUIRES_MFA = False
    given(team)

    listed = admin_client.get("/admin/billing/effectiveplan/").content.decode()
    page = admin_client.get(f"/admin/why/{team.pk}/")

    assert f"/admin/why/{team.pk}/" in listed
    assert "Pro (Pilot)" in page.content.decode()
    client = Client()
    owner = owner_of(team)
    client.force_login(owner)
    assert client.get(f"/admin/why/{team.pk}/").status_code == 302
    owner.is_staff = True
    owner.save()
    client.force_login(owner)  # a new rank ends the sessions of the old one
    assert client.get(f"/admin/why/{team.pk}/").status_code == 403


def test_a_test_clock_that_began_a_little_earlier_misleads_nobody(db):
    selling.put_on_sale()
    team = OrganizationFactory.create()
    store.rederive(team, cause="sign-up")
    BillingAccount.objects.filter(organization=team).update(
        frozen_at=timezone.now() - timedelta(seconds=30)
    )
    given(team)
    passes(team, 1)

    found = history.at(team, clock.now_for(team))

    assert (found.plan.key, history.recent(team)[0].plan.key) == ("pro", "pro")
