"""Domain errors as pages: the one place where a refusal becomes HTML."""

import sys
from collections.abc import Callable

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from config.problems import PROBLEM_JSON, problem
from orgs.exceptions import DomainError


class DomainErrorMiddleware:
    """Turns a DomainError that a page raises into that error's status and sentence."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, DomainError):
            return refusal(request, exception)
        if isinstance(exception, Http404):
            return not_found(request, exception)
        return None


def refusal(request: HttpRequest, error: DomainError) -> HttpResponse:
    if _wants_json(request):
        response: HttpResponse = _json(error.status, error.code, str(error), error.extra)
    else:
        context = {"sentence": str(error), "code": error.code, "status": error.status}
        response = render(request, "error.html", context, status=error.status)
    for name, value in error.headers.items():
        response[name] = value
    return response


def _wants_json(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/webhooks/"))


def _json(status: int, code: str, detail: str, extra: dict[str, object]) -> JsonResponse:
    return JsonResponse(
        problem(status, code, detail, **extra), status=status, content_type=PROBLEM_JSON
    )


def _page(request: HttpRequest, status: int, code: str, sentence: str) -> HttpResponse:
    if _wants_json(request):
        return _json(status, code, sentence, {})
    context = {
        "sentence": sentence,
        "code": code,
        "status": status,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }
    return render(request, "error.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return _page(request, 413, "too_large", _("The request is too large."))
    return _page(request, 400, "bad_request", _("The request could not be understood."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403, "not_allowed", str(exception) or _("Your role does not allow this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404, "not_found", _("There is nothing here that you may see."))


def server_error(request: HttpRequest) -> HttpResponse:
    """503 while PostgreSQL is away, else 500.

    No template context processors run here: they may be what failed.
    """
    sentence = _("Something went wrong on our side. Please try again in a minute.")
    is_away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    status, code = (503, "unavailable") if is_away else (500, "internal_error")
    if _wants_json(request):
        response: HttpResponse = _json(status, code, sentence, {})
    else:
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        context = {"sentence": sentence, "request_id": request_id, "status": status}
        response = HttpResponse(render_to_string("500.html", context), status=status)
    if is_away:
        response["Retry-After"] = "10"
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = _("This form has expired or was opened elsewhere. Go back, reload, and try again.")
    return _page(request, 403, "csrf_failed", sentence)
