"""The account itself, its tax settings, and tax rates."""

from stripe import Account

from tests.stripe_simulator.errors import missing
from tests.stripe_simulator.lifecycle.invoices import ACCOUNT_NAME
from tests.stripe_simulator.routing import Call, endpoint
from tests.stripe_simulator.shapes import blank, shape
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


@endpoint("GET", "/v1/account")
def retrieve_own(call: Call) -> Obj:
    return call.shown(the_account(call.sim))


@endpoint("GET", "/v1/accounts/{account}")
def retrieve(call: Call) -> Obj:
    account = the_account(call.sim)
    if account["id"] != call.path["account"]:
        raise missing("account", call.path["account"])
    return call.shown(account)


@endpoint("GET", "/v1/tax/settings")
def tax_settings(call: Call) -> Obj:
    settings = call.sim.store.scan("tax.settings")
    found = settings[0] if settings else _new_tax_settings(call.sim)
    return call.shown(found)


@endpoint("GET", "/v1/tax_rates/{tax_rate}")
def retrieve_rate(call: Call) -> Obj:
    return call.shown(call.sim.find("tax_rate", call.path["tax_rate"]))


@endpoint("GET", "/v1/tax_rates")
def list_rates(call: Call) -> Obj:
    return call.filtered("tax_rate", "active", "inclusive")


def the_account(sim: Simulator) -> Obj:
    found = sim.store.scan("account")
    return found[0] if found else _new_account(sim)


def _new_account(sim: Simulator) -> Obj:
    account = sim.create(
        "account",
        business_profile={"name": ACCOUNT_NAME, "url": sim.url("/")},
        capabilities={"card_payments": "active", "transfers": "active"},
        charges_enabled=True,
        country="US",
        default_currency="usd",
        details_submitted=True,
        email="simulator@example.com",
        payouts_enabled=True,
        settings=blank(Account.Settings),
        type="standard",
    )
    account["metadata"] = {}
    dashboard = {"display_name": ACCOUNT_NAME, "timezone": "Etc/UTC"}
    account["settings"]["dashboard"] = dashboard
    return account


def _new_tax_settings(sim: Simulator) -> Obj:
    settings = shape("tax.settings", status="active")
    settings["status_details"] = {"active": {}}
    settings["defaults"] |= {"tax_behavior": "exclusive"}
    return sim.store.add("tax.settings", "settings", settings)
