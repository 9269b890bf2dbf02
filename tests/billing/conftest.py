"""Billing's tests sell from the real catalogue, published to the real simulator."""

import pytest
from django.test import Client

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.gateway import breaker, stripe_api
from tests.billing.catalog_file import catalog_file, plans_alone
from tests.billing.stripe_events import Stripe

__all__ = ["calm", "catalog_file", "plans_alone", "published", "stripe"]


@pytest.fixture(autouse=True)
def calm():
    """What a process remembers of outages ends with the test that caused them."""
    yield
    breaker.answered()
    tasks._Broker.rests_until = 0.0


@pytest.fixture
def published(db, stripe_simulator):
    """The current catalogue, in the database and at Stripe."""
    apply(catalog.current(), stripe_api, {})
    return stripe_simulator


@pytest.fixture
def stripe(published) -> Stripe:
    """A Stripe account whose events reach us only when a test says so."""
    published.set_delivery("hold")
    return Stripe(simulator=published, client=Client())
