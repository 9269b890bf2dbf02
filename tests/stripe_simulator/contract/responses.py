"""Checks responses and events: JSON against the SDK's classes."""

import types
import typing
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

import typing_extensions
from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._search_result_object import SearchResultObject
from stripe._stripe_object import StripeObject

from tests.stripe_simulator.contract.annotations import (
    OPEN_OBJECTS,
    closed,
    fields_of,
    is_optional,
    object_class,
    resolve,
)

# Stripe leaves the id out of an invoice that does not exist yet.
WITHOUT_ID = {"invoice.upcoming"}


def object_violations(body: dict[str, Any]) -> list[str]:
    """Where an object differs from the SDK's class for its `object` field."""
    kind = str(body.get("object"))
    if kind not in OBJECT_CLASSES:
        return [f"{kind}: the SDK knows no such object"]
    owner: Any = object_class(kind)
    return violations_of(body, owner, owner, kind)


def event_violations(event: dict[str, Any]) -> list[str]:
    body = event["data"]["object"]
    found = object_violations(event)
    if event["type"] in WITHOUT_ID:
        body = {"id": "", **body}
    return found + [f"{event['type']}: {line}" for line in object_violations(body)]


def violations_of(body: Any, annotation: Any, owner: Any, path: str) -> list[str]:
    found: list[str] = []
    _checker(annotation, owner)(body, path, found)
    return found


Checker = Callable[[Any, str, list[str]], None]


@cache
def _checker(annotation: Any, owner: Any) -> Checker:
    """The check that an annotation asks for, built once."""
    expected = resolve(annotation, owner)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in {typing.Union, types.UnionType}:
        return _union(arguments, owner)
    if origin in {typing.Annotated, typing_extensions.Annotated}:
        return _checker(arguments[0], owner)
    if origin in {typing.Literal, typing_extensions.Literal}:
        return _choice(arguments)
    if origin in {list, ListObject, SearchResultObject}:
        items = _items(_checker(arguments[0], owner))
        return items if origin is list else _page(items)
    return _value(expected, origin)


def _anything(value: Any, path: str, found: list[str]) -> None:
    """Nothing is asked."""


def _union(arguments: tuple[Any, ...], owner: Any) -> Checker:
    may_be_null = type(None) in arguments
    choices = [_checker(one, owner) for one in closed(arguments) if one is not type(None)]

    def check(value: Any, path: str, found: list[str]) -> None:
        if value is None and may_be_null:
            return
        fewest: list[str] | None = None
        for choice in choices:
            tried: list[str] = []
            choice(value, path, tried)
            if not tried:
                return
            if fewest is None or len(tried) < len(fewest):
                fewest = tried
        found.extend(fewest or [])

    return check


def _choice(allowed: tuple[Any, ...]) -> Checker:
    def check(value: Any, path: str, found: list[str]) -> None:
        if value not in allowed:
            found.append(f"{path}: {value!r} is not one of {list(allowed)[:8]}")

    return check


def _items(item: Checker) -> Checker:
    def check(value: Any, path: str, found: list[str]) -> None:
        if not isinstance(value, list):
            found.append(f"{path}: an array is wanted")
            return
        for index, element in enumerate(value):
            item(element, f"{path}[{index}]", found)

    return check


def _page(items: Checker) -> Checker:
    def check(value: Any, path: str, found: list[str]) -> None:
        if not isinstance(value, dict) or value.get("object") not in {"list", "search_result"}:
            found.append(f"{path}: a list object is wanted")
            return
        found.extend(
            f"{path}.{key}: missing" for key in ("data", "has_more", "url") if key not in value
        )
        items(value.get("data"), f"{path}.data", found)

    return check


def _value(expected: Any, origin: Any) -> Checker:
    if expected in {typing.Any, object} or isinstance(expected, typing.TypeVar):
        return _anything
    if expected in OPEN_OBJECTS or origin in OPEN_OBJECTS:
        return _plain((dict,), "an object")
    if isinstance(expected, type) and issubclass(expected, StripeObject):
        return _object(expected)
    return _SCALARS[expected]


def _plain(allowed: tuple[type, ...], name: str) -> Checker:
    def check(value: Any, path: str, found: list[str]) -> None:
        is_truth_for_number = isinstance(value, bool) and bool not in allowed
        if is_truth_for_number or not isinstance(value, allowed):
            found.append(f"{path}: {name} is wanted, not {value!r}")

    return check


def _decimal(value: Any, path: str, found: list[str]) -> None:
    try:
        valid = isinstance(value, str) and Decimal(value).is_finite()
    except InvalidOperation:
        valid = False
    if not valid:
        found.append(f"{path}: a decimal string is wanted, not {value!r}")


_SCALARS: dict[Any, Checker] = {
    Decimal: _decimal,
    bool: _plain((bool,), "true or false"),
    float: _plain((int, float), "a number"),
    int: _plain((int,), "a number"),
    str: _plain((str,), "text"),
}


def _object(expected: Any) -> Checker:
    def check(value: Any, path: str, found: list[str]) -> None:
        if not isinstance(value, dict):
            found.append(f"{path}: {expected.__name__} is wanted, not {value!r}")
            return
        fields = _fields(expected)
        for name, (checker, optional) in fields.items():
            if name in value:
                checker(value[name], f"{path}.{name}", found)
            elif not optional and not value.get("deleted"):
                found.append(f"{path}.{name}: missing")
        found.extend(
            f"{path}.{name}: unknown field"
            for name in value
            if name not in fields and name not in {"object", "deleted"}
        )

    return check


@cache
def _fields(expected: Any) -> dict[str, tuple[Checker, bool]]:
    """Field name → (its check, whether it may be absent)."""
    return {
        name: (
            _never_null if name in expected._inner_class_dicts else _checker(annotation, owner),
            is_optional(annotation, owner),
        )
        for name, (annotation, owner) in fields_of(expected).items()
    }


def _never_null(value: Any, path: str, found: list[str]) -> None:
    """The SDK cannot read null where it wants a mapping of objects."""
    if not isinstance(value, dict):
        found.append(f"{path}: an object is wanted, not {value!r}")
