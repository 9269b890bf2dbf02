"""A satellite that listens: a real HTTP server that keeps what it was sent and answers as told."""

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PATIENCE = 120


@dataclass
class Heard:
    headers: dict[str, str]
    body: bytes

    @property
    def notice(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    answer: Iterable[bytes] = ()  # of a body that may have no end
    trickles: bool = False  # one byte of an endless header a moment, for ever
    heard: list[Heard] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    seconds: float = 0.0
    released: threading.Event = field(
        default_factory=threading.Event
    )  # cleared, nobody is answered

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [each.notice for each in self.heard if each.notice["type"] == kind]

    @property
    def types(self) -> list[str]:
        return [each.notice["type"] for each in self.heard]


@contextlib.contextmanager
def listening() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.released.set()
    lock = threading.Lock()
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with lock:
                receiver.at_once += 1
                receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.heard.append(Heard(dict(self.headers), body))
            receiver.released.wait(_PATIENCE)
            time.sleep(receiver.seconds)
            with lock:  # before the answer: whoever has it may send the next at once
                receiver.at_once -= 1
            with contextlib.suppress(OSError):
                self._trickle() if receiver.trickles else self._say()

        def do_GET(self) -> None:
            receiver.heard.append(Heard(dict(self.headers), b"{}"))
            self.send_response(200)
            self.end_headers()

        def _say(self) -> None:
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.writelines(receiver.answer)

        def _trickle(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not stopped.wait(0.05):
                self.wfile.write(b"a")
                self.wfile.flush()

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
