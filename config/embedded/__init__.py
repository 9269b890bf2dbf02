"""PostgreSQL and Valkey from wheels, for development and tests, when no URL is given.

Every process that uses the pair holds a shared `flock`; a guardian process owns the servers and
stops them when it can take that lock alone. The kernel does the counting, so a holder killed with
-9 counts no longer, and a reused process id can never be mistaken for one.
"""

import atexit
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.embedded.places import Places, forget_home
from config.embedded.processes import EmbeddedError, tail

__all__ = ["EmbeddedError", "EmbeddedServices", "EmbeddedUrls", "ensure_running", "reset"]

BASE_DIR = Path(__file__).resolve().parents[2]
START_SECONDS = 660.0  # a killed server replays its log before it answers
STOP_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class EmbeddedUrls:
    database_url: str
    redis_url: str


class EmbeddedServices:
    """This process's share in the pair of servers under one `var` folder."""

    def __init__(self, var: Path) -> None:
        self.places = Places.under(var)
        self._lease: IO[str] | None = None
        self._guardian: subprocess.Popen[bytes] | None = None

    def acquire(self) -> EmbeddedUrls:
        """Raises EmbeddedError with the end of the log when a server does not start."""
        self.places.create()
        with self.places.mutex.open("w") as mutex:
            fcntl.flock(mutex, fcntl.LOCK_EX)
            self._lease = self.places.holders.open("w")
            fcntl.flock(self._lease, fcntl.LOCK_SH)  # waits for a guardian that is stopping
            try:
                return self._join_or_start()
            except BaseException:
                self.close_lease()
                raise

    def release(self) -> None:
        """Returns once the servers are gone, if nobody else uses them."""
        if self._lease is None:
            return
        if _try_lock(self._lease):
            self._stop_guardian()
        elif self._guardian is not None:
            self._guardian.returncode = 0  # the other holders' now: not ours to wait for
        self.close_lease()

    def close_lease(self) -> None:
        """In a forked child this closes a copy: the lock stays with the process that took it."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def _join_or_start(self) -> EmbeddedUrls:
        deadline = time.monotonic() + START_SECONDS
        child: subprocess.Popen[bytes] | None = None
        while time.monotonic() < deadline:
            if child is None and not self._guarded():
                self.places.state.unlink(missing_ok=True)
                child = self._guardian = self._spawn_guardian()
            elif state := _read(self.places.state):
                return EmbeddedUrls(
                    database_url=state["database_url"], redis_url=state["redis_url"]
                )
            if child is not None and child.poll() is not None:
                break
            time.sleep(0.02)
        raise EmbeddedError(
            "The embedded PostgreSQL and Valkey did not start. Set DATABASE_URL and REDIS_URL to "
            f"use your own. The end of {self.places.log}:\n{tail(self.places.log)}"
        )

    def _spawn_guardian(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(BASE_DIR)}
        with self.places.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "config.embedded.guardian", str(self.places.var)],
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the holders, and the servers through them
            )

    def _guarded(self) -> bool:
        with self.places.guard.open("w") as guard:
            return not _try_lock(guard)

    def _stop_guardian(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while self._guarded() and time.monotonic() < deadline:
            if state := _read(self.places.state):
                os.kill(int(state["guardian"]), signal.SIGTERM)
            time.sleep(0.02)
        if self._guardian is not None:
            self._guardian.wait(STOP_SECONDS)


_shared: EmbeddedServices | None = None
_urls: EmbeddedUrls | None = None


def ensure_running() -> EmbeddedUrls:
    """Starts or joins the pair under LEDGERLINE_VAR, until this process ends."""
    global _shared, _urls  # noqa: PLW0603  one share per process
    if _urls is None:
        _refuse_in_production()
        var = Path(os.environ.get("LEDGERLINE_VAR") or BASE_DIR / "var")
        _shared = EmbeddedServices(var)
        _urls = _shared.acquire()
        atexit.register(_shared.release)
        os.register_at_fork(after_in_child=_shared.close_lease)
    return _urls


def reset(var: Path) -> None:
    """Deletes both servers' data. Raises EmbeddedError while a process still uses them."""
    places = Places.under(var)
    if not places.root.exists():
        return
    with places.holders.open("w") as holders:
        if not _try_lock(holders):
            raise EmbeddedError(f"The databases in {var} are in use. Stop the demo first.")
        services = EmbeddedServices(var)
        services._stop_guardian()  # noqa: SLF001  its own class; the lock is already ours
        forget_home(places)


def _refuse_in_production() -> None:
    debug = os.environ.get("DEBUG", "").lower() in {"1", "true", "yes", "on", "y", "t", "ok"}
    if not debug and os.environ.get("LEDGERLINE_EMBEDDED") != "1":
        raise EmbeddedError(
            "DATABASE_URL and REDIS_URL must be set: the embedded PostgreSQL and Valkey are for "
            "development and tests, and DEBUG is off."
        )


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> dict[str, str] | None:
    try:
        state: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return state
