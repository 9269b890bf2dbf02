"""Checks responses and events: JSON against the SDK's classes."""

import types
import typing
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
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
    owner = object_class(kind)
    found: list[str] = []
    _check(body, owner, owner, kind, found)
    return found


def event_violations(event: dict[str, Any]) -> list[str]:
    body = event["data"]["object"]
    found = object_violations(event)
    if event["type"] in WITHOUT_ID:
        body = {"id": "", **body}
    return found + [f"{event['type']}: {line}" for line in object_violations(body)]


def violations_of(body: Any, annotation: Any, owner: Any, path: str) -> list[str]:
    found: list[str] = []
    _check(body, annotation, owner, path, found)
    return found


def _check(value: Any, annotation: Any, owner: Any, path: str, found: list[str]) -> None:
    expected = resolve(annotation, owner)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected in {typing.Any, object} or isinstance(expected, typing.TypeVar):
        return
    if origin in {typing.Union, types.UnionType}:
        _check_union(value, arguments, owner, path, found)
    elif origin in {typing.Annotated, typing_extensions.Annotated}:
        _check(value, arguments[0], owner, path, found)
    elif value is None:
        found.append(f"{path}: null is not allowed")
    elif check := _BY_ORIGIN.get(origin):
        check(value, arguments, owner, path, found)
    elif expected in OPEN_OBJECTS or origin in OPEN_OBJECTS:
        if not isinstance(value, dict):
            found.append(f"{path}: an object is wanted")
    else:
        _check_plain(value, expected, path, found)


def _check_union(
    value: Any, arguments: tuple[Any, ...], owner: Any, path: str, found: list[str]
) -> None:
    if value is None and type(None) in arguments:
        return
    fewest: list[str] | None = None
    for argument in closed(arguments):
        if argument is type(None):
            continue
        tried: list[str] = []
        _check(value, argument, owner, path, tried)
        if not tried:
            return
        if fewest is None or len(tried) < len(fewest):
            fewest = tried
    found.extend(fewest or [])


def _check_choice(
    value: Any, arguments: tuple[Any, ...], _: Any, path: str, found: list[str]
) -> None:
    if value not in arguments:
        found.append(f"{path}: {value!r} is not one of {list(arguments)[:8]}")


def _check_items(
    value: Any, arguments: tuple[Any, ...], owner: Any, path: str, found: list[str]
) -> None:
    if not isinstance(value, list):
        found.append(f"{path}: an array is wanted")
        return
    for index, element in enumerate(value):
        _check(element, arguments[0], owner, f"{path}[{index}]", found)


def _check_page(
    value: Any, arguments: tuple[Any, ...], owner: Any, path: str, found: list[str]
) -> None:
    if not isinstance(value, dict) or value.get("object") not in {"list", "search_result"}:
        found.append(f"{path}: a list object is wanted")
        return
    found.extend(
        f"{path}.{key}: missing" for key in ("data", "has_more", "url") if key not in value
    )
    _check_items(value.get("data"), arguments, owner, f"{path}.data", found)


_Check = Callable[[Any, tuple[Any, ...], Any, str, list[str]], None]
_BY_ORIGIN: dict[Any, _Check] = {
    typing.Literal: _check_choice,
    typing_extensions.Literal: _check_choice,
    list: _check_items,
    ListObject: _check_page,
    SearchResultObject: _check_page,
}


def _check_plain(value: Any, expected: Any, path: str, found: list[str]) -> None:
    if isinstance(expected, type) and issubclass(expected, StripeObject):
        _check_object(value, expected, path, found)
    elif expected is Decimal:
        if not isinstance(value, str) or not _is_decimal(value):
            found.append(f"{path}: a decimal string is wanted, not {value!r}")
    elif expected in {int, float}:
        numbers = (int,) if expected is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers):
            found.append(f"{path}: a number is wanted, not {value!r}")
    elif expected in {bool, str}:
        if not isinstance(value, expected):
            found.append(f"{path}: {expected.__name__} is wanted, not {value!r}")
    else:
        found.append(f"{path}: this checker cannot read the type {expected!r}")


def _check_object(value: Any, expected: type[StripeObject], path: str, found: list[str]) -> None:
    if not isinstance(value, dict):
        found.append(f"{path}: {expected.__name__} is wanted, not {value!r}")
        return
    fields = fields_of(expected)
    for name, (annotation, owner) in fields.items():
        if name in value and value[name] is None and name in expected._inner_class_dicts:
            found.append(f"{path}.{name}: the SDK cannot read null here")
        elif name in value:
            _check(value[name], annotation, owner, f"{path}.{name}", found)
        elif not value.get("deleted") and not is_optional(annotation, owner):
            found.append(f"{path}.{name}: missing")
    found.extend(
        f"{path}.{name}: unknown field"
        for name in value
        if name not in fields and name not in {"object", "deleted"}
    )


def _is_decimal(text: str) -> bool:
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True
