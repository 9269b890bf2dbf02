"""Who will need a larger plan, ranked, and told to sales once."""

import csv
from datetime import timedelta
from io import StringIO

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.messages import outbox
from billing.models import OutboxMessage
from orgs.models import Organization
from quotas import tasks
from quotas.engine import enforcement, limits
from quotas.models import Balance, Lead, UsageLimit
from quotas.reaction import leads as telling
from quotas.reading import leads
from tests.billing.selling import pays, put_on_sale
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def on_sale():
    put_on_sale()


def uses(slug, share, meter="ai_queries"):
    """A payer in the middle of its month who has used this share of the limit."""
    organization = OrganizationFactory.create(slug=slug, name=f"={slug}")
    pays(
        organization,
        period_start=NOW - timedelta(days=15),
        period_end=NOW + timedelta(days=15),
    )
    limits.derive(organization, organization.effective_plan)
    limit = UsageLimit.objects.get(organization=organization, meter=meter)
    enforcement.record(organization, meter, int(limit.amount * share), idempotency_key="a")
    return organization


def test_leads_are_ranked_by_what_their_usage_comes_to():
    uses("calm", 0.3)
    uses("warm", 0.45)
    uses("hot", 0.8)
    uses("full", 0.95, meter="storage")

    found = leads.find()

    assert [(lead.slug, lead.meter) for lead in found] == [
        ("hot", "ai_queries"), ("full", "storage"), ("warm", "ai_queries"),
    ]  # fmt: skip
    hot = found[0]
    assert hot.percent in range(155, 161)
    assert hot.projected > hot.used
    assert hot.next_plan == "enterprise"
    assert hot.paying.amount == 6_000


def test_closed_unlimited_and_refused_meters_are_no_leads():
    closed, endless = uses("closed", 0.9), uses("endless", 0.9)
    Organization.objects.filter(pk=closed.pk).update(closed_at=NOW)
    UsageLimit.objects.filter(organization=endless).update(amount=None)

    assert leads.find() == []


def test_ranking_takes_as_many_queries_for_many_as_for_one():
    uses("one", 0.9)
    with CaptureQueriesContext(connection) as captured:
        leads.find()
    for number in range(3):
        uses(f"more-{number}", 0.9)

    with CaptureQueriesContext(connection) as again:
        assert len(leads.find()) == 4

    assert len(again) == len(captured)


def test_sales_hear_of_new_leads_once_a_day_and_of_each_once_a_period():
    uses("hot", 0.8)

    assert telling.tell() == 1
    assert telling.tell() == 0, "one mail a day"
    outbox.deliver_due()

    (letter,) = mail.outbox
    assert letter.to == ["sales@example.com"]
    assert "=hot" in letter.body
    assert "enterprise" in letter.body

    OutboxMessage.objects.filter(kind=telling.KIND).update(once_per="leads.daily:yesterday")
    assert telling.tell() == 0, "nothing is new"
    uses("warm", 0.7)
    tasks.tell_leads()
    assert Lead.objects.count() == 2

    OutboxMessage.objects.filter(kind=telling.KIND).delete()
    Lead.objects.update(period_start=NOW - timedelta(days=45))
    assert telling.tell() == 2, "a new period is news again"
    assert Balance.objects.count() == 2


def test_staff_see_the_leads_and_take_them_as_csv(admin_client, settings):
    settings.ADMIN_REQUIRES_MFA = False
    uses("hot", 0.8)

    assert "hot" in admin_client.get(reverse("admin:leads")).content.decode()
    text = admin_client.get(reverse("admin:leads-csv")).content.decode()
    (row,) = csv.DictReader(StringIO(text))
    assert (row["organization"], row["name"], row["next_plan"]) == ("hot", "'=hot", "enterprise")


def test_a_report_is_counted_once_in_five_minutes_unless_staff_ask_again(admin_client, settings):
    settings.ADMIN_REQUIRES_MFA = False
    page = reverse("admin:leads")
    empty = admin_client.get(page).content.decode()
    uses("hot", 0.8)

    kept = admin_client.get(page).content.decode()
    anew = admin_client.get(page, {"again": 1}).content.decode()

    assert "Nobody comes near a limit." in empty
    assert "Nobody comes near a limit." in kept
    assert "<td>hot</td>" in anew
    assert "<td>hot</td>" in admin_client.get(page).content.decode()
