"""A WSGI application behind `Threads`, for Granian: what it was asked, and every kind of answer."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from config.threads import Threads
from quotas.rsgi import Exchanged, Scope

PARTS = 50
_together = threading.Barrier(4)


class Download:
    """Made while it is sent, as Django's streaming responses are."""

    streaming = True

    def __init__(self) -> None:
        self.is_closed = False

    def __iter__(self) -> Any:
        for number in range(PARTS):
            yield f"{number},".encode() * 1_000

    def close(self) -> None:
        closed.append(True)


closed: list[bool] = []


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise RuntimeError("as a bug would")
    if path == "/together":
        _together.wait(20)
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    start_response("200 OK", [("Content-Type", "text/plain"), *cookies])
    if path == "/download":
        return Download()
    if path == "/closed":
        return [str(len(closed)).encode()]
    asked = {name: value for name, value in environ.items() if isinstance(value, str)}
    asked["body"] = environ["wsgi.input"].read().decode()
    return [json.dumps(asked).encode()]


class Application:
    def __init__(self) -> None:
        self._threads = Threads(wsgi, 4)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    async def __rsgi__(self, scope: Scope, protocol: Exchanged) -> None:
        await self._threads.serve(scope, protocol)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._threads.stop()


application = Application()
