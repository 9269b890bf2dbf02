"""The installed Stripe SDK is the specification: its endpoints, parameters and response types."""

import ast
import importlib
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

import stripe
import typing_extensions
from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._request_options import RequestOptions
from stripe._search_result_object import SearchResultObject
from stripe._stripe_object import StripeObject, UntypedStripeObject

SDK = Path(stripe.__file__).parent
API_VERSION: str = stripe.api_version or ""
OPEN_OBJECTS = (dict, UntypedStripeObject)
# Stripe leaves the id out of an invoice that does not exist yet.
WITHOUT_ID = {"invoice.upcoming"}


class Mismatch(Exception):
    """A parameter that the SDK's type does not allow; `path` is written as Stripe writes it."""

    def __init__(self, kind: str, path: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.path = path


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of the SDK's services and the types its signature names."""

    method: str
    path: str
    module: str
    params: str | None
    returns: str

    def decode(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Typed parameters from the text of a form; raises Mismatch."""
        if self.params is None:
            if raw:
                name = next(iter(raw))
                raise Mismatch("parameter_unknown", name, f"Received unknown parameter: {name}")
            return {}
        owner = _evaluate(self.params, self.module)
        decoded: dict[str, Any] = _decode(raw, owner, owner, "")
        return decoded

    def violations(self, body: Any) -> list[str]:
        found: list[str] = []
        _check(body, self.returns, _scope(self.module), self.returns, found)
        return found


def find_endpoint(method: str, path: str) -> Endpoint | None:
    """The most literal endpoint of the SDK that this method and path match."""
    best: Endpoint | None = None
    for pattern, endpoint in _catalogue().get(method, []):
        if pattern.fullmatch(path) and (
            best is None or endpoint.path.count("{") < best.path.count("{")
        ):
            best = endpoint
    return best


def all_endpoints() -> list[Endpoint]:
    return [endpoint for entries in _catalogue().values() for _, endpoint in entries]


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


@cache
def object_class(kind: str) -> type[StripeObject]:
    module, name = OBJECT_CLASSES[kind]
    owner: type[StripeObject] = getattr(importlib.import_module(module), name)
    return owner


@cache
def fields_of(owner: type) -> dict[str, tuple[Any, type]]:
    """Field name → (annotation, class that declares it), bases first."""
    fields: dict[str, tuple[Any, type]] = {}
    for base in reversed(owner.__mro__):
        if base is StripeObject or not issubclass(base, StripeObject):
            continue
        for name, annotation in base.__dict__.get("__annotations__", {}).items():
            if not name.startswith("_") and "ClassVar" not in str(annotation):
                key = name[:-1] if name in {"from_", "class_"} else name
                fields[key] = (annotation, base)
    return fields


def resolve(annotation: Any, owner: Any) -> Any:
    """The type an annotation names, seen from the class it stands in."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return _resolve_text(annotation, owner)
    return annotation


@cache
def _scope(module: str) -> type:
    """Stands for a class where only a module is known."""
    return type("_Scope", (), {"__module__": module})


@cache
def _catalogue() -> dict[str, list[tuple[re.Pattern[str], Endpoint]]]:
    entries: dict[str, list[tuple[re.Pattern[str], Endpoint]]] = {}
    for file in sorted(SDK.rglob("_*_service.py")):
        if "v2" in file.relative_to(SDK).parts:
            continue
        module = ".".join(("stripe", *file.relative_to(SDK).with_suffix("").parts))
        for endpoint in _endpoints(ast.parse(file.read_text()), module):
            pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", endpoint.path))
            entries.setdefault(endpoint.method, []).append((pattern, endpoint))
    return entries


def _endpoints(tree: ast.Module, module: str) -> Iterator[Endpoint]:
    for service in tree.body:
        if not isinstance(service, ast.ClassDef):
            continue
        for function in service.body:
            if isinstance(function, ast.FunctionDef):
                yield from _endpoint(function, module)


def _endpoint(function: ast.FunctionDef, module: str) -> Iterator[Endpoint]:
    for call in ast.walk(function):
        if not (isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "_request"):
            continue
        verb, url = call.args[0], call.args[1]
        if isinstance(url, ast.Call) and isinstance(url.func, ast.Attribute):
            url = url.func.value
        if isinstance(verb, ast.Constant) and isinstance(url, ast.Constant):
            yield Endpoint(
                method=str(verb.value).upper(),
                path=str(url.value),
                module=module,
                params=_params_name(function),
                returns=_returns(function),
            )


def _params_name(function: ast.FunctionDef) -> str | None:
    for argument in function.args.args:
        if argument.arg == "params" and argument.annotation is not None:
            match = re.search(r"(\w+Params)", ast.unparse(argument.annotation))
            return match and match.group(1)
    return None


def _returns(function: ast.FunctionDef) -> str:
    assert function.returns is not None
    text = ast.unparse(function.returns)
    return str(ast.literal_eval(text)) if text.startswith(("'", '"')) else text


@cache
def _names(module: str) -> dict[str, Any]:
    """A module's names together with those it imports for type checkers only."""
    loaded = importlib.import_module(module)
    names = dict(vars(loaded))
    for node in ast.parse(Path(str(loaded.__file__)).read_text()).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    source = importlib.import_module(line.module)
                    for alias in line.names:
                        names[alias.asname or alias.name] = getattr(source, alias.name)
    return names


def _evaluate(text: str, module: str, nested: dict[str, Any] | None = None) -> Any:
    return eval(text, _names(module), nested or {})  # noqa: S307 (text of the SDK's own source)


@cache
def _resolve_text(text: str, owner: Any) -> Any:
    nested: dict[str, Any] = {}
    first, *rest = owner.__qualname__.split(".")
    outer = _names(owner.__module__).get(first)
    for part in (*rest, None):
        if outer is None:
            break
        nested |= {name: value for name, value in vars(outer).items() if isinstance(value, type)}
        outer = getattr(outer, part, None) if part else None
    return _evaluate(text, owner.__module__, nested)


# Responses: JSON against the SDK's classes.


def _check(value: Any, annotation: Any, owner: Any, path: str, found: list[str]) -> None:
    expected = resolve(annotation, owner)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected in {typing.Any, object} or isinstance(expected, typing.TypeVar):
        return
    if origin in {typing.Annotated, typing_extensions.Annotated}:
        _check(value, arguments[0], owner, path, found)
    elif origin in {typing.Union, types.UnionType}:
        _check_union(value, arguments, owner, path, found)
    elif value is None:
        found.append(f"{path}: null is not allowed")
    elif origin in {typing.Literal, typing_extensions.Literal}:
        if value not in arguments:
            found.append(f"{path}: {value!r} is not one of {list(arguments)[:8]}")
    elif origin is list:
        _check_items(value, arguments[0], owner, path, found)
    elif origin in {ListObject, SearchResultObject}:
        _check_page(value, arguments[0], owner, path, found)
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


def closed(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Enums without the `str` that the SDK adds for values of the future."""
    is_enum = any(
        typing.get_origin(argument) is typing.Literal and typing.get_args(argument) != ("",)
        for argument in arguments
    )
    return tuple(argument for argument in arguments if not (is_enum and argument is str))


def _check_items(value: Any, item: Any, owner: Any, path: str, found: list[str]) -> None:
    if not isinstance(value, list):
        found.append(f"{path}: an array is wanted")
        return
    for index, element in enumerate(value):
        _check(element, item, owner, f"{path}[{index}]", found)


def _check_page(value: Any, item: Any, owner: Any, path: str, found: list[str]) -> None:
    if not isinstance(value, dict) or value.get("object") not in {"list", "search_result"}:
        found.append(f"{path}: a list object is wanted")
        return
    found.extend(
        f"{path}.{key}: missing" for key in ("data", "has_more", "url") if key not in value
    )
    _check_items(value.get("data"), item, owner, f"{path}.data", found)


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
        if name in value:
            _check(value[name], annotation, owner, f"{path}.{name}", found)
        elif not value.get("deleted") and not is_optional(annotation, owner):
            found.append(f"{path}.{name}: missing")
    found.extend(
        f"{path}.{name}: unknown field"
        for name in value
        if name not in fields and name not in {"object", "deleted"}
    )


def is_optional(annotation: Any, owner: Any) -> bool:
    return type(None) in typing.get_args(resolve(annotation, owner))


def _is_decimal(text: str) -> bool:
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


# Requests: form text against the SDK's TypedDicts.


def _decode(value: Any, annotation: Any, owner: Any, path: str) -> Any:
    expected = resolve(annotation, owner)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in {typing_extensions.NotRequired, typing_extensions.Required}:
        return _decode(value, arguments[0], owner, path)
    if origin in {typing.Union, types.UnionType}:
        return _decode_union(value, arguments, owner, path)
    if origin in {typing.Literal, typing_extensions.Literal}:
        return _decode_literal(value, arguments, path)
    if origin is list:
        if not isinstance(value, list):
            raise Mismatch("parameter_invalid_array", path, f"Invalid array: {path}")
        return [
            _decode(element, arguments[0], owner, f"{path}[{index}]")
            for index, element in enumerate(value)
        ]
    if origin is dict or expected in OPEN_OBJECTS:
        return _decode_mapping(value, arguments, owner, path)
    if typing_extensions.is_typeddict(expected):
        return _decode_fields(value, expected, path)
    return _decode_scalar(value, expected, path)


def _decode_union(value: Any, arguments: tuple[Any, ...], owner: Any, path: str) -> Any:
    deepest: Mismatch | None = None
    for argument in closed(arguments):
        if argument is type(None):
            continue
        try:
            return _decode(value, argument, owner, path)
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


def _decode_mapping(
    value: Any, arguments: tuple[Any, ...], owner: Any, path: str
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch("parameter_invalid_object", path, f"Invalid object: {path}")
    if not arguments:
        return dict(value)
    return {
        key: _decode(element, arguments[1], owner, f"{path}[{key}]")
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
        decoded[name] = _decode(element, fields[name][0], expected, at)
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
