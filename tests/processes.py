"""Our own programs as child processes of a test: on its database, its Redis, its simulator."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STOP_SECONDS = 10


def environment(**changes: str) -> dict[str, str]:
    """What a child needs to be this installation; DEBUG, so that pages need no collected files."""
    url = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database,
        "DEBUG": "1",
        "LOG_FORMAT": "json",
        "SITE_URL": settings.SITE_URL,
        **changes,
    }


@contextmanager
def running(*command: str, cwd: Path = ROOT, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that is stopped at the end, by force if it does not listen."""
    process = subprocess.Popen(command, cwd=cwd, env=environment(**changes))
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def worker(**changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker of two processes, as the demo starts it."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    celery = (sys.executable, "-m", "celery", "--app", "config.celery:app", "--quiet")
    with running(*celery, "worker", "--concurrency", "2", *quiet, cwd=ROOT, **changes) as process:
        yield process


@contextmanager
def web(port: int, **changes: str) -> Iterator[str]:
    """Granian with our application; yields its address once it answers."""
    address = f"http://127.0.0.1:{port}"
    server = (str(BIN / "granian"), "--interface", "rsgi", "--host", "127.0.0.1", "--no-ws")
    size = ("--port", str(port), "--workers", "1")
    with running(*server, *size, "config.rsgi:application", cwd=ROOT, **changes):
        wait_until(lambda: answers(f"{address}/healthz"), seconds=60)
        yield address


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (our own address)
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_until(holds: Callable[[], bool], *, seconds: float) -> float:
    """How long it took, in seconds; raises TimeoutError."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - started
