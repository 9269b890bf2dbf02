"""A33: everybody's events at once, and the worker dies in the middle; nothing is lost."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.gateway import stripe_api
from tests import processes
from tests.benchmarks import bursting
from tests.stripe_simulator.process import free_port

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOMERS, EACH, SENDERS = 20, 10, 8


@pytest.fixture
def address(transactional_db, stripe_simulator, redis_server, settings):
    settings.STRIPE_TEST_CLOCKS = False
    stripe_simulator.set_delivery("hold")
    apply(catalog.current(), stripe_api, {})
    with processes.web(free_port()) as address:
        yield address


@pytest.fixture
def worker(address, tmp_path):
    worker = bursting.Worker(processes.environment(), tmp_path)
    worker.start()
    yield worker
    worker.stop()
    processes.wait_until(_nobody_works, seconds=30)


def _nobody_works():
    """The killed worker's connections are closed, so that the tables can be emptied."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        (running,) = cursor.fetchone()
    return not running


def test_a_burst_is_acknowledged_and_applied_though_its_worker_is_killed(
    address, worker, stripe_simulator, report
):
    organizations = bursting.subscribers(CUSTOMERS)
    events = bursting.events_of(stripe_simulator, organizations, EACH)
    assert len({event["id"] for event in events}) == CUSTOMERS * EACH

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(bursting.send, address, (bursting.WEBHOOKS,), events, SENDERS)
        seconds = bursting.watch(
            worker, events=len(events), kills=1, patience=60, nudge=tasks.sweep_inbox
        )
        acknowledged, _sent = sending.result()

    assert acknowledged[bursting.WEBHOOKS].statuses == {200: len(events)}
    assert worker.kills == 1
    assert bursting.audit(organizations, events) == []
    report(f"burst: {len(events)} events applied in {seconds:.1f} s with one killed worker")


@pytest.mark.verify
def test_ten_thousand_events_and_five_kills_lose_nothing(tmp_path, report):
    """By the command itself; its rates count only on a machine that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.burst"],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )

    for line in done.stdout.splitlines():
        report(line)
    assert done.returncode == 0, done.stderr
    assert "nothing was lost" in done.stdout
