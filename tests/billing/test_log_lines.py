"""Log lines name the request and the organization, from the web through the webhook to the task."""

import logging

import pytest
from django_structlog.celery.receivers import CeleryReceiver
from structlog.contextvars import bound_contextvars

from tests.billing.selling import put_on_sale
from tests.billing.stripe_events import post
from tests.billing.subscribed import on_pro
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(caplog):
    """What was logged since, one object a line, by event."""
    caplog.set_level(logging.INFO)

    def since(event):
        said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        return [line for line in said if line["event"] == event]

    return since


def test_a_page_and_a_call_are_logged_with_request_and_organization(client, lines):
    put_on_sale()
    team = OrganizationFactory.create()
    owner = owner_of(team)
    client.force_login(owner)

    page = client.get(f"/o/{team.slug}/settings/members/")
    call = client.get(
        "/api/v1/billing/status",
        {"organization": team.slug},
        headers={"Authorization": f"Bearer {api_token_for(owner)}"},
    )

    assert [answer.status_code for answer in (page, call)] == [200, 200]
    for answer, line in zip((page, call), lines("request_finished"), strict=True):
        assert line["request_id"] == answer["X-Request-Id"]
        assert line["organization"] == str(team.pk)


def test_a_webhook_is_logged_with_its_event_and_what_follows_with_the_organization(
    stripe, client, lines
):
    team = on_pro(stripe)
    event = stripe.history_of(team)[-1] | {"id": "evt_again"}

    answer = post(client, event)
    with bound_contextvars(request_id=answer["X-Request-Id"]):
        handed_on = CeleryReceiver().get_task_context()

    received = lines("request_finished")[-1]
    assert (received["event_id"], received["code"]) == ("evt_again", 200)
    assert received["customer_id"] == stripe.customer_of(team)
    assert handed_on["request_id"] == received["request_id"]
    changed = lines("billing.plan_changed")[-1]
    assert (changed["organization"], changed["customer_id"]) == (
        str(team.pk), stripe.customer_of(team),
    )  # fmt: skip
