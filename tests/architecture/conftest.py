"""A world for the URL matrix, with plans on sale at the simulator."""

import pytest

from tests.architecture import world as worlds
from tests.architecture.world import World
from tests.billing.conftest import published

__all__ = ["published"]


@pytest.fixture
def world(published) -> World:
    found = worlds.build()
    worlds.open_checkouts(found)
    return found
