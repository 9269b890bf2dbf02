"""A WSGI application on an RSGI server: each request in a thread of a pool.

RSGI is Granian's interface (its docs/spec/RSGI.md); what becomes of a request here is PEP 3333.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import structlog

from orgs.headers import without_a_page
from quotas.rsgi import Exchanged, Headers, Scope

logger = structlog.get_logger(__name__)

Environ = dict[str, Any]
WSGI = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Larger than any body that a page or call accepts; Django has smaller limits of its own.
LARGEST_BODY = 16 * 1_048_576
_CHUNK = 65_536
_PLAIN = [("content-type", "text/plain"), *without_a_page()]
_TOO_LARGE = (413, _PLAIN, b"The request is too large.")
_FAILED = (500, _PLAIN, b"Something went wrong on our side.")


class Threads:
    """Serves `application` with so many requests at once; more wait their turn."""

    def __init__(self, application: WSGI, threads: int) -> None:
        self._application = application
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="web")

    async def serve(self, scope: Scope, protocol: Exchanged, body: bytes | None = None) -> None:
        if body is None:
            body = await _body(scope, protocol)
        if body is None:
            protocol.response_bytes(*_TOO_LARGE)
            return
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._pool, self._respond, _environ(scope, body))
        if isinstance(answer.body, bytes):
            protocol.response_bytes(answer.status, answer.headers, answer.body)
            return
        await self._stream(answer, answer.body, protocol)

    def stop(self) -> None:
        """Lets the requests that have begun end."""
        self._pool.shutdown(wait=True)

    def _respond(self, environ: Environ) -> "_Answer":
        answer = _Answer()
        try:
            parts = self._application(environ, answer.start)
            if answer.is_complete(parts):
                answer.body = b"".join(parts)
                _close(parts)
            else:
                answer.body = parts
        except Exception:
            logger.exception("web.application_failed")
            answer.status, answer.headers, answer.body = _FAILED
        return answer

    async def _stream(self, answer: "_Answer", parts: Iterable[bytes], protocol: Exchanged) -> None:
        """A download that is made while it is sent: never whole in memory."""
        loop = asyncio.get_running_loop()
        transport = protocol.response_stream(answer.status, answer.headers)
        each = iter(parts)
        try:
            while (part := await loop.run_in_executor(self._pool, _next, each)) is not None:
                await transport.send_bytes(part)
        finally:
            await loop.run_in_executor(self._pool, _close, parts)


class _Answer:
    """What the application said through `start_response`, and the body."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.body: bytes | Iterable[bytes] = b""

    def start(
        self, status: str, headers: Sequence[tuple[str, str]], exc_info: object = None
    ) -> None:
        self.status = int(status.partition(" ")[0])
        self.headers = list(headers)

    def is_complete(self, parts: object) -> bool:
        """Django's plain responses know their whole content; others are streamed."""
        return not getattr(parts, "streaming", False)


def _next(parts: Any) -> bytes | None:
    """Small parts are joined: a row of a CSV file is no packet."""
    joined = bytearray()
    for part in parts:
        joined += part
        if len(joined) >= _CHUNK:
            break
    return bytes(joined) or None


def _close(parts: object) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


async def _body(scope: Scope, protocol: Exchanged) -> bytes | None:
    """None where it is larger than anything accepted; then the rest is not read."""
    length = scope.headers.get("content-length")
    if length is not None:
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return None
        return await protocol() if int(length) else b""
    if scope.headers.get("transfer-encoding") is None and scope.http_version.startswith("1"):
        return b""
    read = bytearray()
    async for part in protocol:
        read += part
        if len(read) > LARGEST_BODY:
            return None
    return bytes(read)


def _environ(scope: Scope, body: bytes) -> Environ:
    host, port = _address(scope.server)
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "REMOTE_ADDR": _address(scope.client)[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    _add_headers(environ, scope.headers)
    if scope.authority and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ


def _add_headers(environ: Environ, headers: Headers) -> None:
    """A name with an underscore could pass for another one, so it is dropped, as by any server."""
    for name, value in headers.items():
        if name == "content-length" or "_" in name:
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{_shouted(name)}"
        separator = "; " if name == "cookie" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value


def _address(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address stands in brackets before its port."""
    host, _colon, port = text.rpartition(":")
    return host.strip("[]"), port


def _shouted(name: str) -> str:
    return name.upper().replace("-", "_")
