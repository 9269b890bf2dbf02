"""Writes `docs/http-reference.md`: every call of the API, from the same OpenAPI that is served."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from drf_spectacular.generators import SchemaGenerator

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "http-reference.md"
Json = dict[str, Any]
# Where a call says no more of an answer than that it may come.
_USUAL: Final = {
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "Not with this token, or not by this plan.",
    "404": "No such organization.",
    "422": "`field` names what cannot be accepted.",
    "503": "Nothing was done; ask again.",
}

_HEAD: Final = """\
# Every call of the HTTP API

What holds for all of them is in [http-api.md](http-api.md). A running installation has the same at
`/api/docs/`, with a form to try each call. Written by `manage.py http_reference`; a test compares.

A type in *italics* is described under [Bodies](#bodies). A field marked \\* is required."""
_CALLERS: Final = {
    "serviceToken": "satellites (`lls_…`)",
    "personalToken": "people and their scripts (session or `llp_…`)",
}


def page() -> str:
    schema: Json = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    calls = [
        (path, method, call)
        for path, methods in schema["paths"].items()
        for method, call in methods.items()
    ]
    lines = [_HEAD, ""]
    for caller in _CALLERS:
        lines += ["", f"## For {_CALLERS[caller]}"]
        for path, method, call in calls:
            if caller == _caller(call):
                lines += ["", *_call(path, method, call)]
    lines += ["", "## Bodies"]
    for name, body in schema["components"]["schemas"].items():
        lines += ["", *_body(name, body)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _caller(call: Json) -> str:
    named = {name for way in call.get("security", []) for name in way}
    return "serviceToken" if "serviceToken" in named else "personalToken"


def _call(path: str, method: str, call: Json) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`"
    yield ""
    yield " ".join(call.get("description", "").split())
    yield ""
    for parameter in call.get("parameters", []):
        about = f" {parameter['description']}" if parameter.get("description") else ""
        star = "\\*" if parameter.get("required") else ""
        place = parameter["in"]
        yield f"- `{parameter['name']}`{star} in the {place}, {_type(parameter['schema'])}.{about}"
    if body := _content(call.get("requestBody", {})):
        yield f"- Body: {_type(body['schema'])}{_example(body)}"
    yield from (_answer(status, found) for status, found in sorted(call["responses"].items()))


def _answer(status: str, found: Json) -> str:
    about = " ".join(found.get("description", "").split())
    body = _content(found)
    if body is None or status >= "400":
        return f"- {status}: {about or _USUAL.get(status, 'no body.')}"
    return f"- {status}: {about + ' ' if about else ''}{_type(body['schema'])}{_example(body)}"


def _content(found: Json) -> Json | None:
    """Every body of ours is one kind of JSON."""
    return next(iter(found.get("content", {}).values()), None)


def _example(body: Json) -> str:
    for example in body.get("examples", {}).values():
        return f", such as `{json.dumps(example['value'], ensure_ascii=False)}`"
    return "."


def _body(name: str, body: Json) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if (about := " ".join(body.get("description", "").split())) and "enum" not in body:
        yield about
        yield ""
    if "enum" in body:
        yield "One of " + ", ".join(f"`{value}`" for value in body["enum"]) + "."
        return
    if not body.get("properties"):
        yield f"{_type(body)}."
        return
    required = set(body.get("required", ()))
    yield "| field | type | |"
    yield "|---|---|---|"
    for field, value in body["properties"].items():
        star = "\\*" if field in required else ""
        about = " ".join(value.get("description", "").split())
        yield f"| `{field}`{star} | {_type(value)} | {about} |"


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[*{name}*](#{name.lower()})"
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[several]))
    kinds = schema.get("type", "anything")
    if isinstance(kinds, list):
        return " or ".join(_plain(schema | {"type": kind}) for kind in kinds)
    plain = _plain(schema)
    return f"{plain} or null" if schema.get("nullable") else plain


def _plain(schema: Json) -> str:
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        inside = schema.get("additionalProperties")
        return f"map to {_type(inside)}" if isinstance(inside, dict) and inside else "object"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return str(schema.get("format") or kind)
