"""What the API's description says of personal tokens and of refusals. Importing it registers it."""

from collections.abc import Iterator
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class PersonalTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "orgs.authentication.PersonalTokenAuthentication"
    name = "personalToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A person's API key (`llp_…`): it may do what the person may do.",
        }


# What any call of a person's may be refused with. The satellites' calls name their own.
_REFUSALS: Final = {
    400: "Not JSON, or a plan that is not for this organization.",
    401: "No key, or one that is unknown, expired or revoked.",
    402: "`card_declined`: the bank said no, and nothing was changed.",
    403: "`not_allowed`, `account_locked` or `payment_required`.",
    404: "No such organization: unknown, closed and somebody else's look alike.",
    409: "What is asked for does not fit the present state; `code` says why.",
    413: "The body is too large.",
    415: "Send application/json.",
    422: "`field` names what cannot be accepted.",
    429: "Too soon again.",
    502: "`stripe_refused`, with Stripe's own sentence.",
    503: "Stripe does not answer, or payments are not set up. Nothing was charged.",
}
_OF_READING: Final = (401, 403, 404, 422, 503)
_OWN: Final = frozenset({"usage"})  # tags of calls that say all of it themselves
_ORGANIZATION: Final = {
    "name": "organization",
    "in": "query",
    "description": "Slug or UUID; absent means the caller's current one.",
    "schema": {"type": "string", "maxLength": 64},
}


def refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: what every call of a person's shares is written down once."""
    for method, path, operation in _operations(result):
        if _OWN.isdisjoint(operation.get("tags", [])):
            _add_refusals(operation, method)
            if method == "get" and "{organization}" not in path:
                _add_organization(operation)
    return result


def _operations(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _add_refusals(operation: dict[str, Any], method: str) -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    for status in _OF_READING if method == "get" else _REFUSALS:
        operation["responses"].setdefault(
            str(status),
            {
                "description": _REFUSALS[status],
                "content": {"application/problem+json": {"schema": problem}},
            },
        )


def _add_organization(operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if all(known["name"] != "organization" for known in parameters):
        parameters.append(dict(_ORGANIZATION))
