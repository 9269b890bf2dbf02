"""Where each hosted page lives."""

from starlette.routing import Route

from tests.stripe_simulator.delivery import Courier
from tests.stripe_simulator.pages import checkout, control, invoice, portal
from tests.stripe_simulator.pages.site import page
from tests.stripe_simulator.simulator import Simulator


def routes(sim: Simulator, courier: Courier) -> list[Route]:
    return [
        page(sim, courier, "/c/pay/{session}", checkout.show),
        page(sim, courier, "/c/pay/{session}/challenge", checkout.challenge),
        page(sim, courier, "/i/{invoice}/{secret}", invoice.show),
        page(sim, courier, "/i/{invoice}/{secret}/challenge", invoice.challenge),
        page(sim, courier, "/i/{invoice}/{secret}/pdf", invoice.document, "GET"),
        page(sim, courier, "/credit_notes/{note}/pdf", invoice.credit_note, "GET"),
        page(sim, courier, "/receipts/{charge}", invoice.receipt, "GET"),
        page(sim, courier, "/p/session/{secret}", portal.show),
        page(sim, courier, "/_sim/", control.page_for(courier)),
    ]
