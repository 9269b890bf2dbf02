"""Domain errors as RFC 9457 problem documents: the one place where a refusal becomes JSON."""

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, views
from rest_framework.response import Response

from orgs.exceptions import DomainError

PROBLEM_JSON = "application/problem+json"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. Unknown exceptions return None and become a 500."""
    if isinstance(exc, DomainError):
        views.set_rollback()
        body = problem(exc.status, exc.code, str(exc), **exc.extra)
        return problem_response(body, headers=exc.headers)
    response = views.exception_handler(exc, context)
    if response is None:
        return None
    headers = {
        name: response[name]
        for name in ("WWW-Authenticate", "Retry-After", "Allow")
        if name in response
    }
    return problem_response(_from_rest(exc, response.status_code), headers=headers)


def problem(status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """The body of every error of the HTTP contract (DESIGN, HTTP contract)."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
    }
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id:
        body["request_id"] = request_id
    return body | extra


def problem_response(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(body, status=body["status"], content_type=PROBLEM_JSON, headers=headers)


def _from_rest(exc: Exception, status: int) -> dict[str, Any]:
    if isinstance(exc, exceptions.ValidationError):
        errors = _flatten(exc.detail)
        field, sentence = next(iter(errors.items()))
        detail = sentence if field == "non_field_errors" else f"{field}: {sentence}"
        return problem(422, "invalid", detail, field=field, errors=errors)
    if isinstance(exc, exceptions.ParseError):
        return problem(400, "malformed", "The body is not valid JSON.")
    if isinstance(exc, Http404 | exceptions.NotFound):
        return problem(404, "not_found", "There is nothing here that you may see.")
    if isinstance(exc, PermissionDenied | exceptions.PermissionDenied):
        return problem(403, "not_allowed", str(exc) or "Your role does not allow this.")
    if isinstance(exc, exceptions.APIException):
        return problem(status, str(exc.default_code), str(exc.detail))
    return problem(status, "error", "The request could not be handled.")


def _flatten(detail: Any, path: str = "") -> dict[str, str]:
    if isinstance(detail, dict):
        found: dict[str, str] = {}
        for key, value in detail.items():
            found |= _flatten(value, f"{path}.{key}" if path else str(key))
        return found
    if isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        found = {}
        for position, item in enumerate(detail):
            found |= _flatten(item, f"{path}[{position}]")
        return found
    first = detail[0] if isinstance(detail, list) and detail else detail
    return {path or "non_field_errors": str(first)}
