"""Each module names its catalogue as CATALOGUE; `product` is that catalogue on sale."""

from collections.abc import Iterator

import pytest
from django.test import Client
from redis import Redis

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.gateway import breaker, stripe_api
from quotas.api import bearers, naming
from quotas.engine import counters, lane, refresh
from tests.billing.stripe_events import Stripe
from tests.requirements.product import Product, Service
from tests.stripe_simulator.client import SimulatorClient


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Nothing this process remembers of a former test."""
    _forget()
    yield
    _forget()


@pytest.fixture
def chosen(request: pytest.FixtureRequest, settings):
    """The module's catalogue is the current one; nothing is published yet."""
    settings.CATALOG = request.module.CATALOGUE
    settings.ADMIN_REQUIRES_MFA = False  # signing in is another document's subject
    return settings


@pytest.fixture
def product(db, chosen, stripe_simulator: SimulatorClient) -> Product:
    stripe_simulator.set_delivery("hold")
    apply(catalog.current(), stripe_api, {})
    return Product(Stripe(simulator=stripe_simulator, client=Client()))


@pytest.fixture
def service(transactional_db: None, redis_server: Redis) -> Service:
    """Another service of the product. Its token is read on a connection of its own, so what the
    test makes is committed."""
    return Service()


@pytest.fixture(scope="session", autouse=True)
def _lanes_end() -> Iterator[None]:
    """Their connections would keep the test database from being dropped."""
    yield
    lane.stop_all()
    refresh.stop()


def _forget() -> None:
    counters.forget_locally()
    bearers.forget()
    naming.forget()
    breaker.answered()
    tasks._Broker.rests_until = 0.0
