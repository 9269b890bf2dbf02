"""The event log and the endpoints that listen to it."""

from tests.stripe_simulator.contract.annotations import API_VERSION
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.ids import random_text
from tests.stripe_simulator.resources.catalog import bury
from tests.stripe_simulator.routing import Call, assign, endpoint, metadata_of, within
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


@endpoint("GET", "/v1/events")
def list_events(call: Call) -> Obj:
    """`delivery_success=false` are those that some endpoint has not accepted yet."""
    params = call.params
    kinds = params.get("types") or ([params["type"]] if params.get("type") else None)
    delivered = params.get("delivery_success")
    return call.listed(
        event
        for event in call.sim.store.scan("event")
        if (kinds is None or any(_is_like(event["type"], kind) for kind in kinds))
        and within(event["created"], params.get("created"))
        and (delivered is None or delivered == (event["pending_webhooks"] == 0))
    )


@endpoint("GET", "/v1/events/{id}")
def retrieve_event(call: Call) -> Obj:
    return call.shown(call.sim.find("event", call.path["id"]))


@endpoint("POST", "/v1/webhook_endpoints")
def create_endpoint(call: Call) -> Obj:
    """The secret is told here and never again."""
    params = call.params
    made = add_endpoint(
        call.sim,
        params["url"],
        f"whsec_{random_text(32)}",
        params["enabled_events"],
        api_version=params.get("api_version"),
    )
    made["metadata"] = metadata_of(params)
    made["description"] = params.get("description")
    return {**call.shown(made), "secret": made["_sim"]["secrets"][0]}


@endpoint("GET", "/v1/webhook_endpoints")
def list_endpoints(call: Call) -> Obj:
    return call.filtered("webhook_endpoint")


@endpoint("GET", "/v1/webhook_endpoints/{webhook_endpoint}")
def retrieve_endpoint(call: Call) -> Obj:
    return call.shown(_endpoint(call))


@endpoint("POST", "/v1/webhook_endpoints/{webhook_endpoint}")
def update_endpoint(call: Call) -> Obj:
    listener = _endpoint(call)
    assign(listener, call.params, "url", "enabled_events", "description")
    if "disabled" in call.params:
        listener["status"] = "disabled" if call.params["disabled"] else "enabled"
    return call.shown(listener)


@endpoint("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}")
def delete_endpoint(call: Call) -> Obj:
    listener = _endpoint(call)
    call.sim.store.remove("webhook_endpoint", listener["id"])
    for owed in call.sim.store.where("_delivery", endpoint=listener["id"]):
        call.sim.store.remove("_delivery", owed["id"])
    return bury(dict(listener))


def add_endpoint(
    sim: Simulator, url: str, secret: str, kinds: list[str], *, api_version: str | None = None
) -> Obj:
    if not url.startswith(("http://", "https://")):
        raise StripeError("Invalid URL: An explicit scheme must be provided.", param="url")
    made = sim.create(
        "webhook_endpoint",
        api_version=api_version,
        enabled_events=kinds,
        metadata={},
        status="enabled",
        url=url,
    )
    made["_sim"] = {"secrets": [secret]}
    return made


def version_for(listener: Obj) -> str:
    """An endpoint without a pinned version gets the account's default."""
    pinned: str | None = listener["api_version"]
    return pinned or API_VERSION


def _endpoint(call: Call) -> Obj:
    return call.sim.find("webhook_endpoint", call.path["webhook_endpoint"])


def _is_like(kind: str, wanted: str) -> bool:
    if wanted.endswith(".*"):
        return kind.startswith(wanted[:-1])
    return kind == wanted
