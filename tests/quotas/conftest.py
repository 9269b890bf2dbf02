"""What tests of the engine lean on: threads that end, and a Redis that starts empty."""

from collections.abc import Iterator

import pytest
from redis import Redis

from quotas.api import bearers, naming
from quotas.engine import counters, lane, refresh
from tests.quotas.api import the_loop


@pytest.fixture(autouse=True)
def _fresh_copies() -> Iterator[None]:
    """Nothing this process remembers of a former test: readings, tokens, slugs, an outage."""
    _forget()
    yield
    _forget()


@pytest.fixture(scope="session", autouse=True)
def _lanes_end() -> Iterator[None]:
    """Their connections would keep the test database from being dropped."""
    yield
    lane.stop_all()
    refresh.stop()
    if the_loop.cache_info().currsize:
        the_loop().close_connections()


@pytest.fixture
def durable(transactional_db: None, redis_server: Redis) -> Redis:
    """The writer's own connection sees what the test made, as in production."""
    return redis_server


def _forget() -> None:
    counters.forget_locally()
    bearers.forget()
    naming.forget()
