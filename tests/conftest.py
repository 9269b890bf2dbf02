"""What every test may lean on: the Stripe simulator as a real process, a clean Redis database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker
from redis import Redis

from config.embedded.processes import tail, wait_for
from tests import chromium

LEFT_OUT = pytest.StashKey[int]()
ROOT = Path(__file__).resolve().parents[1]
SIMULATOR_START_SECONDS = 20


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives Chromium; all tests in tests/browser")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """BROWSER=none leaves the browser tests out and counts them; else they need a Chromium."""
    browser = [item for item in items if "/tests/browser/" in item.path.as_posix()]
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


@dataclass(frozen=True)
class StripeSimulator:
    """The controls of a running simulator; Stripe's own paths are reached with the SDK."""

    url: str

    def control(self, path: str, **body: Any) -> dict[str, Any]:
        """Posts to `/_sim/<path>` and returns the answer. Raises for any error status."""
        response = httpx.post(f"{self.url}/_sim/{path}", json=body, timeout=30, trust_env=False)
        response.raise_for_status()
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def events(self) -> Any:
        response = httpx.get(f"{self.url}/_sim/events", timeout=30, trust_env=False)
        response.raise_for_status()
        return response.json()

    def answers(self) -> bool:
        try:
            self.events()
        except httpx.TransportError:
            return False
        return True


@pytest.fixture(scope="session")
def stripe_simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeSimulator]:
    """One simulator per test worker, on the port the settings were loaded with."""
    url = os.environ["STRIPE_SIMULATOR_URL"]
    state = tmp_path_factory.mktemp("stripe-simulator")
    log = state / "simulator.log"
    command = [sys.executable, "-m", "tests.stripe_simulator"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", url.rpartition(":")[2], "--state", str(state)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    simulator = StripeSimulator(url)
    try:
        settled = wait_for(
            lambda: process.poll() is not None or simulator.answers(),
            seconds=SIMULATOR_START_SECONDS,
        )
        if not settled or process.poll() is not None:
            pytest.fail(f"The Stripe simulator did not start:\n{tail(log)}")
        yield simulator
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def stripe_simulator(stripe_simulator_process: StripeSimulator) -> StripeSimulator:
    """The simulator, empty."""
    stripe_simulator_process.control("reset")
    return stripe_simulator_process


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """For Playwright's `executable_path`."""
    path = chromium.find()
    assert path is not None, "collection has made sure of it"
    return path


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Append-only tables refuse TRUNCATE, which is how the runner empties tables between tests.

    Only here, and only that one trigger: updates and deletes stay refused.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname)"
            " FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 32 <> 0"
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """This worker's own Redis database, empty before and after."""
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis.flushdb()
        yield redis
        redis.flushdb()
