"""The customer portal's configurations and sessions."""

from typing import Any

from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.ids import new_id, random_text
from tests.stripe_simulator.routing import Call, endpoint, metadata_of
from tests.stripe_simulator.shapes import merge
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

REASONS = ["too_expensive", "missing_features", "switched_service", "unused", "customer_service",
           "too_complex", "low_quality", "other"]  # fmt: skip


@endpoint("POST", "/v1/billing_portal/configurations")
def create_configuration(call: Call) -> Obj:
    configuration = _new_configuration(call.sim, call.params, is_default=False)
    call.sim.emit("billing_portal.configuration.created", configuration)
    return call.shown(configuration)


@endpoint("GET", "/v1/billing_portal/configurations")
def list_configurations(call: Call) -> Obj:
    return call.filtered("billing_portal.configuration", "active", "is_default")


@endpoint("GET", "/v1/billing_portal/configurations/{configuration}")
def retrieve_configuration(call: Call) -> Obj:
    return call.shown(call.sim.find("billing_portal.configuration", call.path["configuration"]))


@endpoint("POST", "/v1/billing_portal/configurations/{configuration}")
def update_configuration(call: Call) -> Obj:
    configuration = call.sim.find("billing_portal.configuration", call.path["configuration"])
    _write(configuration, call.params)
    configuration["updated"] = call.sim.wall_now()
    call.sim.emit("billing_portal.configuration.updated", configuration)
    return call.shown(configuration)


@endpoint("POST", "/v1/billing_portal/sessions")
def create_session(call: Call) -> Obj:
    sim, params = call.sim, call.params
    customer = sim.find_live("customer", params.get("customer", ""), "customer")
    configuration = _chosen_configuration(sim, params.get("configuration"))
    key, secret = new_id("billing_portal.session"), random_text(32)
    session = sim.create(
        "billing_portal.session",
        key=key,
        configuration=configuration["id"],
        created=sim.wall_now(),
        customer=customer["id"],
        flow=_flow(sim, customer, params.get("flow_data")),
        locale=params.get("locale"),
        return_url=params.get("return_url") or configuration["default_return_url"],
        url=sim.url(f"/p/session/{secret}"),
    )
    session["_sim"] = {"secret": secret}
    sim.emit("billing_portal.session.created", session)
    return call.shown(session)


def _chosen_configuration(sim: Simulator, wanted: str | None) -> Obj:
    """The named one, else the account's default, which exists from the first use."""
    if wanted:
        return sim.find("billing_portal.configuration", wanted, "configuration")
    for configuration in sim.store.where("billing_portal.configuration", is_default=True):
        return configuration
    everything = {
        "features": {
            "customer_update": {"allowed_updates": ["email", "address", "name"], "enabled": True},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {
                "cancellation_reason": {"enabled": True, "options": REASONS},
                "enabled": True,
                "mode": "at_period_end",
            },
        }
    }
    return _new_configuration(sim, everything, is_default=True)


def _new_configuration(sim: Simulator, params: Obj, *, is_default: bool) -> Obj:
    configuration = sim.create(
        "billing_portal.configuration",
        active=True,
        business_profile={"headline": None},
        features={
            "subscription_cancel": {
                "cancellation_reason": {"enabled": False, "options": []},
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_update": {
                "default_allowed_updates": [],
                "products": None,
                "proration_behavior": "none",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "end_trial",
            },
        },
        is_default=is_default,
        metadata=metadata_of(params),
        updated=sim.wall_now(),
    )
    _write(configuration, params)
    return configuration


def _write(configuration: Obj, params: Obj) -> None:
    for name in ("active", "default_return_url", "name", "metadata"):
        if name in params:
            configuration[name] = params[name] or (False if name == "active" else None)
    merge(configuration, {"business_profile": params.get("business_profile") or {}})
    if params.get("login_page"):
        configuration["login_page"]["enabled"] = params["login_page"]["enabled"]
    for name, sent in (params.get("features") or {}).items():
        feature: Any = configuration["features"][name]
        merge(feature, {key: value or _cleared(value) for key, value in sent.items()})
        if name == "subscription_update":
            _complete_products(feature)


def _complete_products(feature: Obj) -> None:
    for product in feature.get("products") or []:
        product.setdefault("adjustable_quantity", {"enabled": False, "maximum": None, "minimum": 1})
        product["adjustable_quantity"] = {
            "maximum": None,
            "minimum": 1,
            **product["adjustable_quantity"],
        }


def _cleared(value: Any) -> Any:
    return None if value == "" else value


def _flow(sim: Simulator, customer: Obj, sent: Obj | None) -> Obj | None:
    """A deep link's target: one act, then back."""
    if not sent:
        return None
    kind = sent["type"]
    named = sent.get(kind) or {}
    if named.get("subscription"):
        subscription = sim.find("subscription", named["subscription"], f"flow_data[{kind}]")
        if subscription["customer"] != customer["id"]:
            raise StripeError(
                "The subscription does not belong to the customer.",
                param=f"flow_data[{kind}][subscription]",
            )
    after = sent.get("after_completion") or {"type": "portal_homepage"}
    flow: Obj = {
        "after_completion": {
            "hosted_confirmation": after.get("hosted_confirmation"),
            "redirect": after.get("redirect"),
            "type": after["type"],
        },
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }
    if kind == "subscription_cancel":
        flow[kind] = {"retention": None, **named}
    elif kind == "subscription_update_confirm":
        items = [{"price": None, **item} for item in named["items"]]
        flow[kind] = {"discounts": None, **named, "items": items}
    elif kind == "subscription_update":
        flow[kind] = named
    return flow
