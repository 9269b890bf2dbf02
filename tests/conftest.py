"""What every test may lean on: the Stripe simulator as a real process, a clean Redis database."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import TransactionTestCase
from django.utils import translation
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, sync_playwright
from redis import Redis

from tests import chromium
from tests.stripe_simulator import process
from tests.stripe_simulator.client import SimulatorClient

LEFT_OUT = pytest.StashKey[int]()

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile(
    "any machine",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives Chromium; all tests that use `chrome`")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """BROWSER=none leaves the browser tests out and counts them; else they need a Chromium."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)
    browser = [item for item in items if "chrome" in getattr(item, "fixturenames", ())]
    for item in browser:
        item.add_marker("browser")
    if browser and chromium.left_out():
        items[:] = [item for item in items if item not in browser]
        config.hook.pytest_deselected(items=browser)
        config.stash[LEFT_OUT] = len(browser)
    elif browser and chromium.find() is None:
        raise pytest.UsageError("Chromium is not installed; BROWSER=none leaves its tests out.")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist tells the first process how many it left out."""
    if left_out := getattr(node, "workeroutput", {}).get("browser_left_out"):
        node.config.stash[LEFT_OUT] = left_out


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        left_out = session.config.stash.get(LEFT_OUT, 0)
        session.config.workeroutput["browser_left_out"] = left_out


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"BROWSER=none left out {left_out} browser tests.", yellow=True)
    for passed in terminalreporter.stats.get("passed", []):
        for name, sentence in passed.user_properties:
            if name == "figure" and passed.when == "call":
                terminalreporter.write_line(f"figure: {sentence}")


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a measured figure as a sentence, and says it at the end of the run."""
    return lambda sentence: record_property("figure", sentence)


@pytest.fixture(scope="session")
def stripe_simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorClient]:
    """One simulator per test worker, on the port the settings were loaded with."""
    port = int(os.environ["STRIPE_SIMULATOR_URL"].rpartition(":")[2])
    with process.start(port, tmp_path_factory.mktemp("stripe-simulator")) as simulator:
        yield simulator


@pytest.fixture
def stripe_simulator(stripe_simulator_process: SimulatorClient) -> Iterator[SimulatorClient]:
    """The simulator as an empty account that delivers at once and has no faults.

    Whatever a test asks of it, no answer and no event may break the types of Stripe's SDK.
    """
    stripe_simulator_process.reset()
    stripe_simulator_process.set_delivery("normal")
    yield stripe_simulator_process
    assert stripe_simulator_process.violations() == []


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """The one browser of a worker: Playwright allows no second one in the same thread.

    Its event loop runs in this thread from now on, so Django would take every test for async.
    """
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=list(chromium.FLAGS)
        )
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _in_the_default_language() -> None:
    """A request leaves its language behind in the thread, and the next test would speak it."""
    translation.deactivate()


@pytest.fixture(scope="session", autouse=True)
def _rows_go_and_nothing_else() -> None:
    """Django empties every table between transactional tests and announces a migration after it,
    0.3 s each time. Here the rows go of those tables that have any."""
    TransactionTestCase._fixture_teardown = _delete_all_rows  # type: ignore[attr-defined]


# What `migrate` itself fills, and what Django therefore fills again after it has emptied all.
_KEPT = ("django_migrations", "django_content_type", "auth_permission", "django_site")


def _delete_all_rows(_test: TransactionTestCase) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(format('SELECT %%L WHERE EXISTS (SELECT FROM %%s)', name, name),"
            " ' UNION ALL ') FROM (SELECT oid::regclass::text AS name FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> ALL (%s)) tables",
            [list(_KEPT)],
        )
        (question,) = cursor.fetchone()
        cursor.execute(question)
        filled = [name for (name,) in cursor.fetchall()]
        if filled:
            # As a replica, so that neither guards of append-only tables nor foreign keys object.
            deletes = "; ".join(f"DELETE FROM {name}" for name in filled)  # noqa: S608  our tables
            cursor.execute(f"SET session_replication_role = replica; {deletes}")
            cursor.execute("SET session_replication_role = DEFAULT")


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """This worker's own Redis database, empty before and after."""
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis.flushdb()
        yield redis
        redis.flushdb()
