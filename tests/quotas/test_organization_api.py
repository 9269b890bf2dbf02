"""Entitlements and usage of an organization, for satellites and for its people."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.models import Grant, Source
from quotas.engine import enforcement
from quotas.satellites import issue_token
from tests.factories.orgs import OrganizationFactory, api_token_for, member_of
from tests.factories.quotas import SatelliteFactory
from tests.quotas.api import SatelliteClient

pytestmark = pytest.mark.usefixtures("durable")


@pytest.fixture
def organization():
    apply(catalog.current(), None, {})
    return OrganizationFactory.create()


@pytest.fixture
def client():
    _token, secret = issue_token(SatelliteFactory.create())
    return SatelliteClient(secret, front="hot path")


def give(organization, plan):
    Grant.objects.create(
        organization=organization, source=Source.MANUAL, plan_key=plan, reason="a test", seats=3
    )
    return store.rederive(organization, cause="test")


def test_entitlements_say_what_applies_and_why(client, organization):
    give(organization, "pro")

    answer = client.get(f"organizations/{organization.slug}/entitlements")

    assert answer.status == 200
    assert (answer.body["plan"], answer.body["source"]) == ("pro", "manual")
    assert answer.body["features"]["audit_log"] == "available"
    assert answer.body["limits"]["storage"]["amount"] == 100 * 2**30
    assert answer.body["trace"]


def test_entitlements_of_the_past_say_what_applied_then(client, organization):
    store.current(organization)
    before = timezone.now()
    give(organization, "pro")

    answer = client.get(
        f"organizations/{organization.pk}/entitlements?at={before.isoformat().replace('+', '%2B')}"
    )

    assert answer.body["plan"] == "hobby"


def test_a_time_before_everything_is_422(client, organization):
    long_ago = (timezone.now() - timedelta(days=4000)).isoformat().replace("+", "%2B")

    answer = client.get(f"organizations/{organization.pk}/entitlements?at={long_ago}")

    assert answer.status == 422


def test_usage_lists_every_meter(client, organization):
    give(organization, "pro")
    enforcement.record(organization, "ai_queries", 50_500, idempotency_key="k")

    answer = client.get(f"organizations/{organization.pk}/usage")

    meters = {meter["meter"]: meter for meter in answer.body["meters"]}
    assert set(meters) == {"storage", "members", "ai_queries"}
    assert meters["ai_queries"]["overage"] == 500
    assert meters["ai_queries"]["cost"] is None  # what is granted is not billed
    assert meters["members"]["used"] == 1


def test_an_organization_that_does_not_exist_is_404(client, organization):
    for name in ("nobody", "00000000-0000-0000-0000-000000000000"):
        assert client.get(f"organizations/{name}/usage").status == 404


def test_members_see_the_usage_of_their_current_organization(client, organization):
    person = member_of(organization)
    enforcement.consume(organization, "storage", 5, idempotency_key="k")
    mine = SatelliteClient(api_token_for(person), front="django")

    answer = mine.send("GET", "../subscriptions/usage", b"")

    meters = {meter["meter"]: meter for meter in answer.body["meters"]}
    assert answer.status == 200
    assert meters["storage"]["used"] == 5


def test_strangers_find_no_organization(client, organization):
    stranger = member_of(OrganizationFactory.create())
    theirs = SatelliteClient(api_token_for(stranger), front="django")

    answer = theirs.send("GET", f"../subscriptions/usage?organization={organization.slug}", b"")

    assert answer.status == 404


def test_where_nothing_is_on_sale_it_is_503(client):
    team = OrganizationFactory.create()

    for path in ("entitlements", "usage"):
        assert client.get(f"organizations/{team.pk}/{path}").status == 503


@pytest.mark.parametrize(
    "at", ["0452-08-20T17:21:21-20:28", "0001-01-01T00:00:00%2B14:00", "2026-11-20T10:00:00"]
)
def test_an_instant_that_postgresql_does_not_know_is_422(client, organization, at):
    answer = client.get(f"organizations/{organization.pk}/entitlements?at={at}")

    assert (answer.status, answer.body["field"]) == (422, "at")
