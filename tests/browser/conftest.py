"""A real browser before real servers: pages, Celery worker, PostgreSQL, Redis and the simulator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from redis import Redis

from billing import catalog
from billing.catalog.apply import apply
from billing.gateway import stripe_api
from billing.models import BillingAccount, InboxEvent
from config.embedded.processes import tail, wait_for
from tests import children
from tests.browser.visitor import Visitor

ROOT = Path(__file__).resolve().parents[2]
CELERY_WORKER = (
    *(sys.executable, "-m", "celery", "-A", "config.celery", "worker", "--pool", "solo"),
    *("--without-gossip", "--without-mingle"),
)
WORKER_START_SECONDS = 30


@pytest.fixture(scope="module")
def celery_worker(django_db_setup, tmp_path_factory):
    """A worker of its own process on the test's database, once it says that it listens.

    It ends with its module: beside other tests it would do what they do, and hold their tables.
    """
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis.flushdb()  # what earlier tests queued is about rows that are gone
    server, mark, options = os.environ["DATABASE_URL"].partition("?")
    database = f"{server.rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    environment = (
        os.environ
        | children.measured()
        | {
            "DATABASE_URL": database + mark + options,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "INFO",
        }
    )
    log = tmp_path_factory.mktemp("celery") / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            CELERY_WORKER, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        if not wait_for(lambda: b" ready." in log.read_bytes(), seconds=WORKER_START_SECONDS):
            pytest.fail(f"The Celery worker did not start:\n{tail(log)}")
        yield worker
    finally:
        worker.terminate()
        worker.wait(30)


@pytest.fixture
def simulator(transactional_db, live_server, settings, stripe_simulator, celery_worker):
    """Stripe, with the catalogue on sale and its webhooks coming to the pages under test."""
    settings.SITE_URL = live_server.url
    secret = django_settings.STRIPE_WEBHOOK_SECRETS[0]
    stripe_simulator.set_webhook(f"{live_server.url}/webhooks/stripe", secret)
    apply(catalog.current(), stripe_api, {})
    stripe_simulator.wait_until_idle()
    yield stripe_simulator
    stripe_simulator.set_delivery("hold")
    wait_for(_worker_rests, seconds=10)  # or it would meet the emptying of the tables


@pytest.fixture
def visitor(chrome, live_server):
    """Somebody before a browser, who fails the test on a script error or a refused resource."""
    context = chrome.new_context(base_url=live_server.url)
    context.set_default_timeout(15_000)
    visitor = Visitor(context.new_page())
    yield visitor
    context.close()
    assert visitor.complaints == []


def _worker_rests():
    """Every event that came has been applied, and every organization has its customer."""
    inbox, customers = InboxEvent.objects.waiting(), BillingAccount.objects.without_customer()
    return not inbox.exists() and not customers.exists()
