"""The application: Stripe's API, the hosted pages and the controls under one roof."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.stripe_simulator.api import Api
from tests.stripe_simulator.contract.annotations import API_VERSION
from tests.stripe_simulator.controls import Controls
from tests.stripe_simulator.delivery import Courier
from tests.stripe_simulator.faults import Faults
from tests.stripe_simulator.pages.routes import routes as page_routes
from tests.stripe_simulator.resources import everything
from tests.stripe_simulator.resources.events import add_endpoint
from tests.stripe_simulator.simulator import Settings, Simulator
from tests.stripe_simulator.store import Store

STATIC = Path(__file__).parent / "pages" / "static"
METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]


def build(settings: Settings, webhooks: list[tuple[str, str]]) -> ASGIApp:
    """The whole simulator; `webhooks` are pairs of address and secret known from the start."""
    assert everything.FAMILIES
    sim = Simulator(settings=settings, store=Store(settings.state))
    courier = Courier(sim)
    faults = Faults()
    for url, secret in webhooks:
        _listen(sim, url, secret)
    sim.store.commit()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        courier.start()
        yield
        courier.stop()

    controls = Controls(sim, courier, faults, webhooks)
    routes = [
        Route("/v1/{path:path}", Api(sim, courier, faults).respond, methods=METHODS),
        Mount("/_sim/static", StaticFiles(directory=STATIC)),
        *controls.routes(),
        *page_routes(sim, courier),
    ]
    return _RawConnection(Starlette(routes=routes, lifespan=lifespan))


def _listen(sim: Simulator, url: str, secret: str) -> None:
    """The endpoint given on the command line, made once even if the state is kept."""
    for known in sim.store.where("webhook_endpoint", url=url):
        known["_sim"]["secrets"] = [secret]
        return
    add_endpoint(sim, url, secret, ["*"], api_version=API_VERSION)


class _RawConnection:
    """Leaves the server's own connection within reach, so that a fault can cut it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["simulator.cycle"] = getattr(send, "__self__", None)
        await self._app(scope, receive, send)
