"""Annotations of the installed SDK, resolved where they stand."""

import ast
import importlib
import inspect
import typing
from functools import cache
from pathlib import Path
from typing import Any

import stripe
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject

API_VERSION: str = stripe.api_version or ""
OPEN_OBJECTS = (dict, UntypedStripeObject)


@cache
def object_class(kind: str) -> type[StripeObject]:
    module, name = OBJECT_CLASSES[kind]
    owner: type[StripeObject] = getattr(importlib.import_module(module), name)
    return owner


def fields_of(owner: Any) -> dict[str, tuple[Any, type]]:
    """Field name → (annotation, class that declares it), bases first."""
    return _fields_of(owner)


@cache
def _fields_of(owner: Any) -> dict[str, tuple[Any, type]]:
    fields: dict[str, tuple[Any, type]] = {}
    for base in reversed(owner.__mro__):
        if base is StripeObject or not issubclass(base, StripeObject):
            continue
        for name, annotation in inspect.get_annotations(base).items():
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


def closed(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Enums without the `str` that the SDK adds for values of the future."""
    is_enum = any(
        typing.get_origin(argument) is typing.Literal and typing.get_args(argument) != ("",)
        for argument in arguments
    )
    return tuple(argument for argument in arguments if not (is_enum and argument is str))


def is_optional(annotation: Any, owner: Any) -> bool:
    return type(None) in typing.get_args(resolve(annotation, owner))


@cache
def scope(module: str) -> type:
    """Stands for a class where only a module is known."""
    return type("_Scope", (), {"__module__": module})


@cache
def names_in(module: str) -> dict[str, Any]:
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


def evaluate(text: str, module: str, nested: dict[str, Any] | None = None) -> Any:
    return eval(text, names_in(module), nested or {})  # noqa: S307 (text of the SDK's own source)


@cache
def _resolve_text(text: str, owner: Any) -> Any:
    nested: dict[str, Any] = {}
    first, *rest = owner.__qualname__.split(".")
    outer = names_in(owner.__module__).get(first)
    for part in (*rest, None):
        if outer is None:
            break
        nested |= {name: value for name, value in vars(outer).items() if isinstance(value, type)}
        outer = getattr(outer, part, None) if part else None
    return evaluate(text, owner.__module__, nested)
