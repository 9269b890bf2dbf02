"""Worlds for the URL matrix."""

import pytest

from tests.architecture import world as worlds
from tests.architecture.world import World
from tests.billing import selling
from tests.billing.conftest import published

__all__ = ["published"]


@pytest.fixture
def world(db) -> World:
    """Plans are on sale; Stripe cannot be asked."""
    selling.put_on_sale()
    return worlds.build()


@pytest.fixture
def world_with_stripe(published) -> World:
    """Plans are on sale at the simulator, and both organizations have a Checkout session open."""
    found = worlds.build()
    worlds.open_checkouts(found)
    return found
