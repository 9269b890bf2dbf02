"""The hottest calls in the server's event loop (RSGI); everything else in threads, by WSGI.

A thread per waiting caller costs more than the decision itself: its wake-up, and its turn for the
interpreter's lock. Here callers await, and whatever would have to wait for anybody but the writer
(an unknown token or slug, a reading that is not at hand, limits to derive, an odd request) is
served by `quotas.hot_path` in a thread, as if this module were not there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
import structlog

from orgs.exceptions import DomainError
from quotas import hot_path
from quotas.api import bearers, bodies, calls, quick_check
from quotas.api.bearers import Bearer
from quotas.api.calls import Reply
from quotas.engine import enforcement
from quotas.engine.in_loop import Exchange
from quotas.engine.lane import WouldWait, never_wait_here
from quotas.hot_path import Answered, Problem
from quotas.rsgi import Exchanged, Headers, Scope

logger = structlog.get_logger(__name__)

_CHECK: Final = "/api/v1/usage/check"
_ASKED: Final = frozenset({_CHECK, *calls.PREPARED})


# The third argument is the body where it was read already.
InThreads = Callable[[Scope, Exchanged, bytes | None], Awaitable[None]]


class HotLoop:
    """An RSGI application in front of one that serves in threads."""

    def __init__(self, in_threads: InThreads, problem: Problem) -> None:
        self._in_threads = in_threads
        self._problem = problem
        self._exchange: Exchange | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Once per process, in the loop's own thread."""
        never_wait_here()
        self._exchange = Exchange(loop)

    async def serve(self, scope: Scope, protocol: Exchanged) -> None:
        if scope.path not in _ASKED or scope.method != "POST":
            await self._in_threads(scope, protocol, None)
            return
        headers = scope.headers
        bearer = _bearer(headers)
        if bearer is None or not hot_path.is_plain(
            headers.get("content-length") or "", headers.get("content-type") or ""
        ):
            await self._in_threads(scope, protocol, None)
            return
        raw = await protocol()
        if scope.path == _CHECK:
            await self._check(scope, protocol, bearer, raw)
            return
        answered = await self._answer(scope, bearer, raw)
        if answered is None:
            await self._in_threads(scope, protocol, raw)
        else:
            protocol.response_bytes(answered.status, answered.headers, orjson.dumps(answered.body))

    async def _check(self, scope: Scope, protocol: Exchanged, bearer: Bearer, raw: bytes) -> None:
        try:
            answer = quick_check.answer(raw, bearer)
        except (DomainError, WouldWait):
            answer = None  # a mistake is explained in a thread
        except Exception:
            logger.exception("quotas.hot_loop_failed")
            answer = None
        if answer is None:
            await self._in_threads(scope, protocol, raw)
        else:
            protocol.response_bytes(200, hot_path.OK, answer)

    async def _answer(self, scope: Scope, bearer: Bearer, raw: bytes) -> Answered | None:
        try:
            reply = await self._reply(scope, bearer, raw)
        except WouldWait:
            return None
        except DomainError as error:
            language = scope.headers.get("accept-language") or ""
            return hot_path.refused(error, self._problem, language)
        except Exception:
            with hot_path.identified() as identity:
                logger.exception("quotas.hot_loop_failed")
                return hot_path.failed(self._problem, identity)
        return None if reply is None else hot_path.fine(reply)

    async def _reply(self, scope: Scope, bearer: Bearer, raw: bytes) -> Reply | None:
        """None where a thread must do it."""
        assert self._exchange is not None  # noqa: S101  the server started the loop
        key = scope.headers.get("idempotency-key")
        prepared = calls.PREPARED[scope.path](bearer, bodies.parse(raw), key)
        if not prepared.requests:  # a batch of mistakes alone
            return None
        rows = await self._exchange.decide(prepared.requests)
        answers = enforcement.answered(prepared.requests, rows)
        if answers is None:
            return None
        with hot_path.speaking(scope.path, scope.headers.get("accept-language") or ""):
            return prepared.reply(answers)


def _bearer(headers: Headers) -> Bearer | None:
    """Only one that this process has just seen; whoever is new is recognized in a thread."""
    return bearers.remembered(hot_path.secret_of(headers.get("authorization") or ""))
