"""A whole installation of its own, for measurements and for kills: servers, tables, web."""

import atexit
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import django

from config.embedded import EmbeddedServices

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90
STOP_SECONDS = 20


def var() -> Path:
    return Path(os.environ.get("LEDGERLINE_VAR") or ROOT / "var")


def install(name: str, settings: str) -> EmbeddedServices:
    """Starts PostgreSQL and Valkey under `var/<name>` and makes the tables; DEBUG is off.

    Everything this process and its children do from now on is done there.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwinds, and stops the children
    services = EmbeddedServices(var() / name)
    urls = services.acquire()
    os.environ |= {
        "DATABASE_URL": urls.database_url,
        "REDIS_URL": urls.redis_url,
        "DJANGO_SETTINGS_MODULE": settings,
    }
    os.environ.pop("LEDGERLINE_EMBEDDED", None)
    atexit.register(services.release)
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415  needs the settings

    call_command("migrate", run_syncdb=True, verbosity=0)
    return services


class Web:
    """Granian on a port that stays the same when it is started again.

    An application that is `threaded` is plain WSGI, a thread per request.
    """

    def __init__(
        self, application: str, *, threads: int, log: Path, threaded: bool = False
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [
            *(sys.executable, "-m", "granian", "--interface", "wsgi" if threaded else "rsgi"),
            *("--no-ws", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *(("--blocking-threads", str(threads)) if threaded else ()),
            application,
        ]
        self.threads = threads
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, "WEB_THREADS": str(self.threads), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"The server did not start; see {self.log}.")
            if time.monotonic() > deadline:
                raise TimeoutError(f"The server does not answer; see {self.log}.")
            time.sleep(0.05)

    def answers(self) -> bool:
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            asking.request("GET", "/healthz")
            return asking.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """The server and its worker, as a power cut would."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
