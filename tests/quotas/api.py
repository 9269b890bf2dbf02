"""A satellite over HTTP: through Django REST framework, the hot path or the event loop."""

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from posixpath import normpath
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import RequestFactory

from config.problems import problem
from config.threads import Threads
from orgs.exceptions import DomainError
from quotas import hot_path
from quotas.api import bearers
from quotas.hot_loop import HotLoop


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


FRONTS = ("django", "hot path", "event loop")


class SatelliteClient:
    """`front` is who answers: one of FRONTS."""

    def __init__(self, secret: str | None, *, front: str) -> None:
        self.secret = secret
        self.front = front
        application = get_wsgi_application()
        hot = front != "django"
        self.application = hot_path.in_front_of(application, problem) if hot else application

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.send("PUT", path, body, **headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, b"", **headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        content_type: str = "application/json",
        **headers: str,
    ) -> Answer:
        """A body of bytes is sent as it is."""
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        if self.secret is not None:
            headers.setdefault("authorization", f"Bearer {self.secret}")
        path, _mark, query = path.partition("?")
        if self.front == "event loop":
            if self.secret is not None:
                with suppress(DomainError):
                    bearers.find(self.secret)  # as one that has called before
            headers.setdefault("content-type", content_type)
            return the_loop().ask(method, normpath(f"/api/v1/{path}"), query, raw, headers)
        request = RequestFactory(headers=headers).generic(
            method,
            normpath(f"/api/v1/{path}"),
            raw,
            content_type=content_type,
            QUERY_STRING=query,
        )
        seen: dict[str, Any] = {}

        def start_response(status: str, found: list[tuple[str, str]], *_rest: Any) -> Any:
            seen["status"], seen["headers"] = int(status[:3]), dict(found)

        chunks = self.application(request.environ, start_response)
        content = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        return Answer(seen["status"], seen["headers"], content)


@dataclass
class _Scope:
    """What Granian tells of a request."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    scheme: str = "http"
    server: str = "testserver:80"
    client: str = "127.0.0.1:50000"
    http_version: str = "1.1"
    authority: str | None = None


@dataclass
class _Protocol:
    """Granian's side of one exchange: the whole body in, one answer out."""

    raw: bytes
    answer: Answer | None = field(default=None)

    async def __call__(self) -> bytes:
        return self.raw

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.answer = Answer(status, dict(headers), body)


class LoopThread:
    """The RSGI application in an event loop of its own, with one thread for what may wait."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = Threads(hot_path.in_front_of(get_wsgi_application(), problem), 1)
        self._application = HotLoop(self._threads.serve, problem)
        self._loop.call_soon(self._application.start, self._loop)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def ask(
        self, method: str, path: str, query: str, raw: bytes, headers: dict[str, str]
    ) -> Answer:
        lowered = {name.lower(): value for name, value in headers.items()}
        about = {"host": "testserver", "content-length": str(len(raw))}
        known = about | {"content-type": "application/json"} | lowered
        protocol = _Protocol(raw)
        served = self._application.serve(_Scope(method, path, query, known), protocol)  # type: ignore[arg-type]
        asyncio.run_coroutine_threadsafe(served, self._loop).result(30)
        assert protocol.answer is not None
        return protocol.answer

    def close_connections(self) -> None:
        self._threads._pool.submit(connections.close_all).result()


@cache
def the_loop() -> LoopThread:
    return LoopThread()
