"""Reads parameters: the text of a form against the SDK's TypedDicts."""

import re
import types
import typing
from decimal import Decimal
from functools import cache
from typing import Any

import typing_extensions
from stripe._request_options import RequestOptions

from tests.stripe_simulator.contract.annotations import OPEN_OBJECTS, closed, resolve


class Mismatch(Exception):
    """A parameter that the SDK's type does not allow; `path` is written as Stripe writes it."""

    def __init__(self, kind: str, path: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.path = path


def decode(value: Any, annotation: Any, owner: Any, path: str = "") -> Any:
    """The value with the types its annotation asks for; raises Mismatch."""
    expected = resolve(annotation, owner)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in {typing_extensions.NotRequired, typing_extensions.Required}:
        return decode(value, arguments[0], owner, path)
    if origin in {typing.Union, types.UnionType}:
        return _decode_union(value, arguments, owner, path)
    if origin in {typing.Literal, typing_extensions.Literal}:
        return _decode_literal(value, arguments, path)
    if origin in {list, *OPEN_OBJECTS} or expected in OPEN_OBJECTS:
        return _decode_collection(value, origin, arguments, owner, path)
    if typing_extensions.is_typeddict(expected):
        return _decode_fields(value, expected, path)
    return _decode_scalar(value, expected, path)


def _decode_union(value: Any, arguments: tuple[Any, ...], owner: Any, path: str) -> Any:
    deepest: Mismatch | None = None
    for argument in closed(arguments):
        if argument is type(None):
            continue
        try:
            return decode(value, argument, owner, path)
        except Mismatch as refused:
            if deepest is None or len(refused.path) > len(deepest.path):
                deepest = refused
    assert deepest is not None
    raise deepest


def _decode_literal(value: Any, allowed: tuple[Any, ...], path: str) -> Any:
    for choice in allowed:
        if isinstance(value, str) and value == str(choice):
            return choice
    names = [str(choice) for choice in allowed]
    text = names[0] if len(names) == 1 else f"one of {', '.join(names[:-1])}, or {names[-1]}"
    raise Mismatch("parameter_invalid_enum", path, f"Invalid {path}: must be {text}")


def _decode_collection(
    value: Any, origin: Any, arguments: tuple[Any, ...], owner: Any, path: str
) -> Any:
    if origin is list:
        if not isinstance(value, list):
            raise Mismatch("parameter_invalid_array", path, f"Invalid array: {path}")
        return [
            decode(element, arguments[0], owner, f"{path}[{index}]")
            for index, element in enumerate(value)
        ]
    if not isinstance(value, dict):
        raise Mismatch("parameter_invalid_object", path, f"Invalid object: {path}")
    inner = arguments[-1] if arguments else str
    return {
        key: decode(element, inner, owner, f"{path}[{key}]") if arguments else element
        for key, element in value.items()
    }


@cache
def _parameters(expected: Any) -> dict[str, tuple[Any, bool]]:
    """Parameter name → (annotation, whether it must be sent)."""
    return {
        name[:-1] if name in {"from_", "class_"} else name: (
            annotation,
            name in expected.__required_keys__,
        )
        for name, annotation in expected.__annotations__.items()
        if name not in RequestOptions.__annotations__
    }


def _decode_fields(value: Any, expected: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch("parameter_invalid_object", path, f"Invalid object: {path}")
    fields = _parameters(expected)
    decoded: dict[str, Any] = {}
    for name, element in value.items():
        at = f"{path}[{name}]" if path else name
        if name not in fields:
            raise Mismatch("parameter_unknown", at, f"Received unknown parameter: {at}")
        decoded[name] = decode(element, fields[name][0], expected, at)
    for name, (_, required) in fields.items():
        if required and name not in value:
            at = f"{path}[{name}]" if path else name
            raise Mismatch("parameter_missing", at, f"Missing required param: {at}.")
    return decoded


def _decode_scalar(value: Any, expected: Any, path: str) -> Any:
    if not isinstance(value, str):
        raise Mismatch("parameter_invalid_string", path, f"Invalid string: {path}")
    if expected is bool:
        if value not in {"true", "false"}:
            raise Mismatch("parameter_invalid_boolean", path, f"Invalid boolean: {value}")
        return value == "true"
    if expected is int:
        if not re.fullmatch(r"-?\d+", value):
            raise Mismatch("parameter_invalid_integer", path, f"Invalid integer: {value}")
        return int(value)
    if expected in {float, Decimal}:
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            raise Mismatch("parameter_invalid_decimal", path, f"Invalid decimal: {value}")
        return float(value) if expected is float else value
    return value
