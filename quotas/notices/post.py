"""One POST to a pinned address: no redirects, no proxies, an end in time and in bytes (G3-G5)."""

import contextlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quotas.notices.addresses import Target

SECONDS: Final = 15.0
_BYTES: Final = 64 * 1024
_CONNECT_SECONDS: Final = 5.0


class NoAnswer(Exception):
    """Nothing that could be read came back in time."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    retry_after: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  the class of status


def post(
    target: Target, headers: Mapping[str, str], body: bytes, seconds: float = SECONDS
) -> Answer:
    """The status and Retry-After; what the receiver says beside them is read and forgotten."""
    ends = time.monotonic() + seconds
    try:
        with contextlib.closing(_connected(target, ends)) as connection:
            connection.sendall(_request(target, headers, body))
            return _answer(connection, ends)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"{type(error).__name__}: {error}"[:300]) from error


def _connected(target: Target, ends: float) -> socket.socket:
    wait = min(_CONNECT_SECONDS, _left(ends))
    plain = socket.create_connection((target.address, target.port), timeout=wait)
    if not target.secure:
        return plain
    try:
        plain.settimeout(_left(ends))
        return _tls().wrap_socket(plain, server_hostname=target.host)
    except BaseException:
        plain.close()
        raise


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = {
        "Host": target.authority,
        "User-Agent": "Ledgerline",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    } | dict(headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {target.path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _answer(connection: socket.socket, ends: float) -> Answer:
    stream = _Bounded(connection, ends)
    response = http.client.HTTPResponse(_Readable(stream), method="POST")  # type: ignore[arg-type]
    response.begin()
    answer = Answer(status=response.status, retry_after=response.headers.get("Retry-After", ""))
    # Politeness alone: closing on unread bytes resets the connection under some receivers.
    with contextlib.suppress(OSError, http.client.HTTPException):
        response.read()
    return answer


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("the receiver took too long")
    return left


class _Bounded(io.RawIOBase):
    """A socket that ends by a deadline, however slowly it trickles, and after so many bytes."""

    def __init__(self, connection: socket.socket, ends: float) -> None:
        self._connection, self._ends, self._bytes = connection, ends, _BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._bytes <= 0:
            raise OSError("the answer is too long")
        self._connection.settimeout(_left(self._ends))
        got = self._connection.recv_into(buffer)
        self._bytes -= got
        return got


class _Readable:
    """What http.client wants of a socket."""

    def __init__(self, stream: _Bounded) -> None:
        self._stream = stream

    def makefile(self, mode: str, *_rest: object) -> io.BufferedReader:
        return io.BufferedReader(self._stream, 8192)
