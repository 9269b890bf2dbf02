"""The Usage page as people meet it: choosing, deciding, and with nothing used yet."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from orgs.models import Role
from quotas.engine import enforcement
from quotas.reading import rollups
from tests.billing import selling
from tests.factories.orgs import (
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    member_of,
    owner_of,
)
from tests.factories.quotas import SatelliteFactory

GB = 2**30
DAYS = 17  # of a month of thirty
CARDS = "**/settings/usage/meters/"


@pytest.fixture
def team(transactional_db):
    """On Pro with ten seats, in the second half of a busy month."""
    selling.put_on_sale()
    owner = UserFactory.create(name="Nguyễn Minh Anh")
    team = OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    now = timezone.now()
    selling.pays(
        team, period_start=now - timedelta(days=DAYS), period_end=now + timedelta(days=30 - DAYS)
    )
    return team


@transaction.atomic
def use_for_a_month(team):
    drive = SatelliteFactory.create(name="Drive")
    people = ["Trần Quốc Bảo", "Lê Thu Hà", "Phạm Gia Huy"]
    members = [owner_of(team)] + [
        MembershipFactory.create(organization=team, user=UserFactory.create(name=name)).user
        for name in people
    ]
    now = timezone.now()
    for day in range(DAYS):
        at = now - timedelta(days=day)
        for number, person in enumerate(members):
            more: Any = {"member": str(person.pk), "occurred_at": at}
            enforcement.record(
                team,
                "ai_queries",
                (1480 - 61 * day if day % 7 > 1 else 430) // (number + 1),
                idempotency_key=f"ai-{day}-{number}",
                dimensions={"model": "mini" if day % 3 else "large"},
                **more,
            )
            enforcement.record(
                team,
                "storage",
                int(4.2 * GB) // (number + 1) // (1 + day % 2) // 2,
                idempotency_key=f"file-{day}-{number}",
                satellite=drive.pk,
                **more,
            )
    enforcement.record(team, "storage", 54 * GB, idempotency_key="import", member="render-worker")
    rollups.catch_up()


def without_surprises(visitor):
    """No transition between pages, and no refresh while axe has its styles on the elements."""
    visitor.page.emulate_media(reduced_motion="reduce")
    visitor.page.route(CARDS, lambda route: route.fulfill(status=204))


def look_and_come_back(visitor, name):
    """htmx would copy what axe leaves behind; a fresh page has none of it."""
    visitor.look(name)
    visitor.page.reload()


def test_an_owner_reads_chooses_and_decides(team, visitor):
    use_for_a_month(team)
    without_surprises(visitor)
    visitor.sign_in(owner_of(team))
    visitor.go("Usage")
    visitor.reads("Cost so far")
    look_and_come_back(visitor, "usage")

    visitor.page.get_by_role("radio", name="Storage").check(force=True)
    visitor.reads("Storage this period")
    visitor.page.get_by_role("radio", name="Service").check(force=True)
    visitor.page.get_by_role("row", name="Drive").wait_for()
    visitor.page.get_by_text("Show daily numbers").click()
    look_and_come_back(visitor, "usage-storage")
    visitor.page.get_by_label("Stop at the included amount").check()
    visitor.press("Save")

    visitor.reads("Saved. It applies at once.")
    assert visitor.page.get_by_label("Stop at the included amount").is_checked()


def test_cards_move_while_the_page_is_open(team, visitor):
    visitor.sign_in(owner_of(team))
    without_surprises(visitor)
    visitor.go("Usage")
    look_and_come_back(visitor, "usage-empty")
    visitor.page.unroute(CARDS)
    with transaction.atomic():
        enforcement.consume(team, "ai_queries", 1234, idempotency_key="now")

    visitor.page.locator("#meters").get_by_text("1,234").wait_for(timeout=20_000)
    visitor.page.locator("#sidebar").get_by_text("1,234 of 50,000").first.wait_for()


def test_a_member_looks_at_their_own_share(team, visitor):
    member = member_of(team, Role.MEMBER)
    with transaction.atomic():
        enforcement.consume(team, "ai_queries", 700, idempotency_key="own", member=str(member.pk))
        rollups.catch_up()
    without_surprises(visitor)
    visitor.sign_in(member)
    visitor.go("Usage")

    visitor.reads("Of it yours: 700")

    visitor.look("usage-member")


def test_a_server_that_takes_too_long_is_said(team, visitor):
    without_surprises(visitor)
    visitor.sign_in(owner_of(team))
    visitor.go("Usage")
    visitor.page.wait_for_function("window.htmx")
    visitor.page.evaluate("htmx.config.timeout = 200")
    visitor.page.route("**/settings/usage/?**", lambda _route: None)

    visitor.page.locator("#period").select_option(index=1)

    visitor.page.locator("#toasts").get_by_text("The server takes too long to answer.").wait_for()
    assert visitor.page.locator("[aria-busy=true]").count() == 0
    visitor.complaints.clear()
