"""Complete objects of the current API shape, grown from the SDK's classes."""

import copy
import typing
from decimal import Decimal
from functools import cache
from typing import Any

from stripe._list_object import ListObject
from stripe._stripe_object import StripeObject

from tests.stripe_simulator.contract import annotations
from tests.stripe_simulator.store import Obj

# The SDK writes Optional both for "may be null" and for "may be absent". These are absent until
# asked for (expand) or until they apply; every other optional field is present and null.
ABSENT = {
    "account": {"company", "groups", "individual"},
    "charge": {"authorization_code", "level3", "presentment_details", "radar_options", "refunds",
               "source", "transfer"},
    "checkout.session": {"branding_settings", "excluded_payment_method_types", "line_items",
                         "name_collection", "optional_items", "presentment_details",
                         "redirect_on_completion", "return_url", "tax_id_collection"},
    "coupon": {"applies_to", "currency_options"},
    "customer": {"business_name", "cash_balance", "customer_account", "individual_name",
                 "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"},
    "dispute": {"network_reason_code"},
    "event": {"account", "context"},
    "invoice": {"amount_paid_off_stripe", "confirmation_secret", "payments", "threshold_reason"},
    "invoiceitem": {"frozen_fields", "proration_details"},
    "payment_intent": {"allowed_payment_method_types", "hooks", "payment_details",
                       "presentment_details"},
    "plan": {"tiers"},
    "price": {"currency_options", "tiers"},
    "refund": {"description", "failure_balance_transaction", "failure_reason",
               "instructions_email", "next_action", "pending_reason", "presentment_details"},
    "setup_intent": {"allowed_payment_method_types", "attach_to_self", "customer_account",
                     "managed_payments"},
    "subscription": {"presentment_details"},
    "subscription_item": {"billed_until"},
    "webhook_endpoint": {"secret"},
}  # fmt: skip
# Of a payment method's types only its own block is present.
PRESENT = {
    "payment_method": {"billing_details", "customer", "customer_account", "allow_redisplay"},
}


def shape(kind: str, **values: Any) -> Obj:
    """A whole object: the SDK's fields with neutral values, then the given ones."""
    body: Obj = copy.deepcopy(_template(kind))
    body["object"] = kind
    if "livemode" in body:
        body["livemode"] = False
    merge(body, values)
    return body


def merge(body: Obj, values: Obj) -> None:
    """Lay values over a body; objects that the shape completes are merged, others replaced."""
    for name, value in values.items():
        there = body.get(name)
        if isinstance(there, dict) and isinstance(value, dict) and name != "metadata":
            merge(there, value)
        else:
            body[name] = value


def empty_list(url: str) -> Obj:
    return {"object": "list", "data": [], "has_more": False, "url": url}


@cache
def _template(kind: str) -> Obj:
    left_out = {"deleted", *ABSENT.get(kind, ())}
    body = blank(annotations.object_class(kind))
    keep = PRESENT.get(kind)
    return {
        name: value
        for name, value in body.items()
        if name not in left_out and (keep is None or value is not None or name in keep)
    }


def blank(owner: type[StripeObject]) -> Obj:
    """An object of the SDK's class; it cannot read null where it wants a mapping of objects."""
    mappings: list[str] = getattr(owner, "_inner_class_dicts", [])
    return {
        name: _neutral(annotation, declared_in)
        for name, (annotation, declared_in) in annotations.fields_of(owner).items()
        if name not in mappings
    }


def _neutral(annotation: Any, owner: type) -> Any:
    expected = annotations.resolve(annotation, owner)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Union:
        return None if type(None) in arguments else _neutral(arguments[0], owner)
    if origin is typing.Literal:
        return arguments[0]
    if origin is list:
        return []
    if origin is ListObject:
        return empty_list("")
    if isinstance(expected, type) and issubclass(expected, StripeObject):
        return blank(expected)
    plain: dict[Any, Any] = {bool: False, int: 0, float: 0, Decimal: "0", str: ""}
    return plain.get(expected, {})
