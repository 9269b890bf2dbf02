"""The calls that satellites make all day, answered in front of Django's handler.

The same contract, validator and engine as the views; what saves the time is that no middleware,
no routing and no database token run. Whatever is unusual (no or a bad token, another method or
content type, a body without a length) goes on to Django with the body put back.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, NamedTuple, Protocol
from uuid import uuid4

import orjson
import structlog
from django.conf import settings
from django.db import connections
from django.http import HttpRequest
from django.utils import translation
from structlog.contextvars import bound_contextvars

from orgs.exceptions import DomainError
from orgs.headers import without_a_page
from quotas.api import bearers, bodies
from quotas.api.bearers import Bearer
from quotas.api.calls import BATCH, HOT, Call, Reply

logger = structlog.get_logger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_SCHEME = "bearer "
_HEADERS: Final = without_a_page()
OK: Final = [("Content-Type", "application/json"), *_HEADERS]
_PROBLEM: Final = [("Content-Type", "application/problem+json"), *_HEADERS]
_ID: Final = "X-Request-Id"
_IN_THE_LEDGER: Final = frozenset({402, 429})
_STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Answered(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: dict[str, Any]


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
            bearer = bearers.find(secret_of(environ.get("HTTP_AUTHORIZATION", "")))
        except DomainError as error:  # PostgreSQL is away: nobody can be recognized
            answered = refused(error, problem, environ.get("HTTP_ACCEPT_LANGUAGE", ""))
        else:
            if bearer is None:  # Django's own check refuses
                return application(environ, start_response)
            answered = _answer(call, bearer, raw, environ, problem)
        # The list is the server's from now on (PEP 3333), so it must not be ours.
        start_response(_STATUS_LINES[answered.status], [*answered.headers])
        return [orjson.dumps(answered.body)]

    return serve


def speaking(path: str, accepted_language: str) -> AbstractContextManager[None]:
    """A batch's reply holds sentences; the other replies hold none until they are refused."""
    if path != BATCH:
        return nullcontext()
    return translation.override(_language(accepted_language))


def is_plain(length: str, content_type: str) -> bool:
    return (
        length.isdecimal()
        and length.isascii()
        and int(length) <= bodies.LARGEST_BODY
        and content_type.partition(";")[0].strip() == "application/json"
    )


def secret_of(authorization: str) -> str:
    """Empty where it is no bearer's."""
    is_bearer = authorization[: len(_SCHEME)].lower() == _SCHEME
    return authorization[len(_SCHEME) :] if is_bearer else ""


def fine(reply: Reply) -> Answered:
    said = [*OK, *reply.headers.items()] if reply.headers else OK
    return Answered(200, said, reply.body)


def refused(error: DomainError, problem: Problem, accepted_language: str) -> Answered:
    """The sentence is made here, in the language that the caller accepts.

    Only what went wrong gets an id. A quota that is used up needs no line: the ledger has a row.
    """
    with identified() as identity:
        with translation.override(_language(accepted_language)):
            body = problem(error.status, error.code, str(error), **error.extra)
        if error.status not in _IN_THE_LEDGER:
            logger.info("quotas.call_refused", code=error.code, status=error.status)
    return Answered(error.status, [*_PROBLEM, (_ID, identity), *error.headers.items()], body)


def failed(problem: Problem, identity: str) -> Answered:
    detail = "Something went wrong on our side. The same key may be sent again."
    return Answered(500, [*_PROBLEM, (_ID, identity)], problem(500, "internal_error", detail))


@contextmanager
def identified() -> Iterator[str]:
    """An id for a request that went wrong, in its answer and in every log line inside."""
    identity = str(uuid4())
    with bound_contextvars(request_id=identity):
        yield identity


def _is_plain(environ: Environ) -> bool:
    return is_plain(environ.get("CONTENT_LENGTH") or "", environ.get("CONTENT_TYPE", ""))


def _answer(call: Call, bearer: Bearer, raw: bytes, environ: Environ, problem: Problem) -> Answered:
    try:
        with speaking(environ["PATH_INFO"], environ.get("HTTP_ACCEPT_LANGUAGE", "")):
            return fine(call(bearer, bodies.parse(raw), environ.get("HTTP_IDEMPOTENCY_KEY")))
    except DomainError as error:
        return refused(error, problem, environ.get("HTTP_ACCEPT_LANGUAGE", ""))
    except Exception:
        with identified() as identity:
            logger.exception("quotas.hot_path_failed")
            return failed(problem, identity)
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()


@lru_cache(maxsize=256)
def _language(accepted: str) -> str:
    """The sentence of a refusal is in the language the caller accepts, as pages are."""
    if not accepted:
        return settings.LANGUAGE_CODE
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = accepted
    return translation.get_language_from_request(request)
