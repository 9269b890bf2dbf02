"""What Prometheus is told, and what it is not."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.utils import timezone

from billing.models import InboxEvent
from quotas.engine import enforcement
from tests.factories.quotas import limited

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "only-for-this-test"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def scrape(client, settings):
    settings.METRICS_TOKEN = TOKEN

    def ask():
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        return answer.content.decode()

    return ask


def value(text, name):
    found = re.search(rf"^{re.escape(name)} ([0-9.e+-]+)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def test_without_the_token_there_is_no_such_page(client, settings):
    assert client.get("/metrics").status_code == 404

    settings.METRICS_TOKEN = TOKEN

    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer else"}).status_code == 404


def test_an_event_that_waits_shows_in_number_and_age(scrape):
    InboxEvent.objects.create(
        event_id="evt_waits",
        type="customer.updated",
        livemode=False,
        payload={},
        received_at=timezone.now() - timedelta(minutes=10),
    )

    text = scrape()

    assert value(text, 'ledgerline_inbox_rows{state="waiting"}') == 1
    assert value(text, "ledgerline_inbox_age_seconds") >= 600


def test_decisions_are_counted_by_verb_and_outcome(scrape, redis_server):
    organization = limited(storage=10)
    name = 'ledgerline_decisions_total{{outcome="{}",verb="consume"}}'
    before = scrape()

    enforcement.consume(organization, "storage", 10, idempotency_key="fits")
    enforcement.consume(organization, "storage", 1, idempotency_key="does not")

    text = scrape()
    for outcome in ("accepted", "refused"):
        assert value(text, name.format(outcome)) - value(before, name.format(outcome)) == 1
    assert str(organization.pk) not in text
    assert organization.slug not in text


def test_no_label_grows_with_customers(scrape, redis_server):
    """Each has a handful of values, whatever is sold to whomever (H6)."""
    enforcement.consume(limited(storage=10), "storage", 1, idempotency_key="once")

    ours = [line for line in scrape().splitlines() if line.startswith("ledgerline_")]

    labels = {name for line in ours for name in re.findall(r'(\w+)="', line)}
    assert labels <= {"verb", "outcome", "kind", "state", "le", "call"}


def is_told(name, text):
    """As a metric of its own, or as one of a histogram's."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    own = rf"^(# TYPE )?{name}[ {{]"
    return re.search(own, text, re.MULTILINE) or f"# TYPE {base} histogram" in text


def test_every_alert_and_panel_is_about_a_metric_that_there_is(scrape, redis_server):
    enforcement.consume(limited(storage=10), "storage", 1, idempotency_key="once")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"][0]
    panels = json.loads((ROOT / "deploy/grafana/ledgerline.json").read_text())["panels"]
    asked = [rule["expr"] for rule in rules["rules"]]
    asked += [target["expr"] for panel in panels for target in panel["targets"]]

    text = scrape()

    unknown = {
        name
        for expression in asked
        for name in re.findall(r"ledgerline_\w+", expression)
        if not is_told(name, text)
    }
    assert unknown == set()
