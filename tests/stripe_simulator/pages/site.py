"""Routes of the hosted pages."""

from starlette.routing import Route

from tests.stripe_simulator.delivery import Courier
from tests.stripe_simulator.simulator import Simulator


class Site:
    def __init__(self, sim: Simulator, courier: Courier) -> None:
        self.sim = sim
        self.courier = courier

    def routes(self) -> list[Route]:
        return []
