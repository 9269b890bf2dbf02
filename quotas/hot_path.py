"""The calls that satellites make all day, answered in front of Django's handler.

The same contract, validator and engine as the views; what saves the time is that no middleware,
no routing and no database token run. Whatever is unusual (no or a bad token, another method or
content type, a body without a length) goes on to Django with the body put back.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, Protocol

import orjson
import structlog
from django.conf import settings
from django.db import connections
from django.http import HttpRequest
from django.utils import translation

from orgs.exceptions import DomainError
from quotas.api import bearers, bodies
from quotas.api.bearers import Bearer
from quotas.api.calls import HOT, Call

logger = structlog.get_logger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_SCHEME = "bearer "
_HEADERS: Final = [
    ("Cache-Control", "no-store, private"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]
_OK: Final = [("Content-Type", "application/json"), *_HEADERS]
_PROBLEM: Final = [("Content-Type", "application/problem+json"), *_HEADERS]
_STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Problem(Protocol):
    """`config.problems.problem`: the body of an error of the contract."""

    def __call__(self, status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]: ...


def in_front_of(application: Application, problem: Problem) -> Application:
    """Wraps a WSGI application; `problem` makes the bodies of errors."""

    def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        call = HOT.get(environ["PATH_INFO"])
        if call is None or environ["REQUEST_METHOD"] != "POST" or not _is_plain(environ):
            return application(environ, start_response)
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(raw)
        try:
            bearer = _bearer(environ)
        except DomainError as error:  # PostgreSQL is away: nobody can be recognized
            status, headers, body = _refused(error, problem)
        else:
            if bearer is None:
                return application(environ, start_response)
            status, headers, body = _answer(call, bearer, raw, environ, problem)
        start_response(_STATUS_LINES[status], headers)
        return [orjson.dumps(body)]

    return serve


def _is_plain(environ: Environ) -> bool:
    length = environ.get("CONTENT_LENGTH") or ""
    return (
        length.isdecimal()
        and length.isascii()
        and int(length) <= bodies.LARGEST_BODY
        and environ.get("CONTENT_TYPE", "").partition(";")[0].strip() == "application/json"
    )


def _bearer(environ: Environ) -> Bearer | None:
    """None for every credential that Django's own check should refuse."""
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return bearers.find(header[len(_SCHEME) :])


def _answer(
    call: Call, bearer: Bearer, raw: bytes, environ: Environ, problem: Problem
) -> tuple[int, list[tuple[str, str]], dict[str, Any]]:
    translation.activate(_language(environ.get("HTTP_ACCEPT_LANGUAGE", "")))
    try:
        reply = call(bearer, bodies.parse(raw), environ.get("HTTP_IDEMPOTENCY_KEY"))
    except DomainError as error:
        return _refused(error, problem)
    except Exception:
        logger.exception("quotas.hot_path_failed")
        detail = "Something went wrong on our side. The same key may be sent again."
        return 500, _PROBLEM, problem(500, "internal_error", detail)
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()
    return 200, [*_OK, *reply.headers.items()], reply.body


def _refused(
    error: DomainError, problem: Problem
) -> tuple[int, list[tuple[str, str]], dict[str, Any]]:
    headers = [*_PROBLEM, *error.headers.items()]
    return error.status, headers, problem(error.status, error.code, str(error), **error.extra)


@lru_cache(maxsize=256)
def _language(accepted: str) -> str:
    """The sentence of a refusal is in the language the caller accepts, as pages are."""
    if not accepted:
        return settings.LANGUAGE_CODE
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = accepted
    return translation.get_language_from_request(request)
