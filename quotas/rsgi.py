"""RSGI, the interface of the server (Granian, docs/spec/RSGI.md), as far as it is used."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol


class Headers(Protocol):
    def get(self, key: str, default: str | None = None) -> str | None: ...

    def items(self) -> list[tuple[str, str]]: ...


class Scope(Protocol):
    """What an RSGI server tells of a request."""

    method: str
    path: str
    query_string: str
    scheme: str
    server: str
    client: str
    http_version: str
    authority: str | None

    @property
    def headers(self) -> Headers: ...


class Exchanged(Protocol):
    """RSGI's protocol object: the request's body, and the way to answer."""

    def __call__(self) -> Awaitable[bytes]: ...

    def __aiter__(self) -> Any: ...

    def response_bytes(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes
    ) -> None: ...

    def response_stream(self, status: int, headers: Sequence[tuple[str, str]]) -> Any: ...
