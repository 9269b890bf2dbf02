"""JSON in: parsed strictly, so that every value keeps the type it was sent with (C6)."""

import json
from datetime import datetime
from typing import Any

import orjson

from quotas.exceptions import InvalidRequest

Body = dict[str, Any]

MISSING = object()
LARGEST_BODY = 1_048_576
_LONGEST_INTEGER = 30


class MalformedBody(InvalidRequest):
    """Not JSON at all."""

    status = 400
    code = "malformed"


class TooLarge(InvalidRequest):
    """More than a batch of the largest events can need."""

    status = 413
    code = "too_large"


def parse(raw: bytes) -> Body:
    """An object; nothing at all is an empty one. NaN and huge numbers are let through as what
    they are, so that the answer can name their field."""
    if not raw:
        return {}
    if len(raw) > LARGEST_BODY:
        raise TooLarge("At most 1 MiB.", field="body")
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = _lenient(raw)
    if not isinstance(found, dict):
        raise InvalidRequest("The body must be a JSON object.", field="body")
    return found


def only(body: Body, known: frozenset[str]) -> None:
    """Unknown fields are mistakes: a misspelled `amount` would count 1."""
    for name in body.keys() - known:
        raise InvalidRequest(f"Unknown field “{name[:64]}”.", field=name[:64])


def required(body: Body, name: str) -> Any:
    found = body.get(name, MISSING)
    if found is MISSING:
        raise InvalidRequest("This field is required.", field=name)
    return found


def instant(value: object, field: str) -> datetime:
    """ISO 8601 with its distance from UTC."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    raise InvalidRequest("An ISO 8601 instant such as 2026-11-20T07:00:00Z.", field=field)


def _lenient(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"), parse_int=_integer)
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not valid JSON.", field="body") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float("inf")
