"""Customers: made by the API, or by Checkout for a buyer it has not met."""

from tests.stripe_simulator import ids
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.routing import metadata_of
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

PLAIN = ("email", "name", "phone", "description", "preferred_locales", "business_name",
         "individual_name")  # fmt: skip
ADDRESS_FIELDS = ("city", "country", "line1", "line2", "postal_code", "state")


def create_customer(sim: Simulator, params: Obj) -> Obj:
    clock = params.get("test_clock")
    if clock:
        sim.find("test_helpers.test_clock", clock, "test_clock")
    customer = sim.create(
        "customer",
        balance=params.get("balance", 0),
        default_source=None,
        delinquent=False,
        discount=None,
        invoice_prefix=params.get("invoice_prefix") or ids.random_text(8).upper(),
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata=metadata_of(params),
        next_invoice_sequence=params.get("next_invoice_sequence", 1),
        preferred_locales=[],
        tax_exempt=params.get("tax_exempt") or "none",
        test_clock=clock,
    )
    customer["_sim"] = {}
    write_details(sim, customer, params)
    sim.emit("customer.created", customer)
    return customer


def write_details(sim: Simulator, customer: Obj, params: Obj) -> Obj:
    """Set the sent details; return the attributes as they were."""
    wanted = {name: params[name] or None for name in PLAIN if name in params}
    if "address" in params:
        wanted["address"] = _address(params["address"])
    if "shipping" in params:
        wanted["shipping"] = params["shipping"] or None
    if "balance" in params:
        wanted["balance"] = params["balance"]
    if params.get("tax_exempt"):
        wanted["tax_exempt"] = params["tax_exempt"]
    if "invoice_settings" in params:
        wanted["invoice_settings"] = _invoice_settings(sim, customer, params["invoice_settings"])
    previous = {
        name: customer.get(name) for name, value in wanted.items() if customer.get(name) != value
    }
    customer |= wanted
    return previous


def _invoice_settings(sim: Simulator, customer: Obj, sent: Obj) -> Obj:
    settings: Obj = {**customer["invoice_settings"]}
    settings |= {name: value or None for name, value in sent.items()}
    default = settings.get("default_payment_method")
    if default:
        method = sim.find("payment_method", default, "invoice_settings[default_payment_method]")
        if method["customer"] != customer["id"]:
            raise StripeError(
                f"The customer does not have a payment method with the ID {default}. The payment "
                "method must be attached to the customer.",
                code="resource_missing",
                param="invoice_settings[default_payment_method]",
            )
    return settings


def _address(sent: Obj | str | None) -> Obj | None:
    if not isinstance(sent, dict):
        return None
    return {name: sent.get(name) or None for name in ADDRESS_FIELDS}
