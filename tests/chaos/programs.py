"""Children that can be killed as a whole, and are started again as a supervisor would."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

from tests import installation

QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Program:
    """A command in a process group of its own; its log lies under `var/chaos`."""

    def __init__(self, name: str, *command: str) -> None:
        self.command = command
        self.log = installation.var() / "chaos" / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.gave_up = 0  # how often it ended by itself

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=installation.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):  # all of it has ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def revive(self) -> None:
        """After it ended by itself: a worker does when its broker goes at a bad moment."""
        if self.process is not None and self.process.poll() is not None:
            self.gave_up += 1
            self.kill()
            self.start()

    def kill_and_restart(self) -> None:
        self.kill()
        self.start()


def celery(name: str, *arguments: str) -> Program:
    """`worker` or `beat`, with its options."""
    command = (sys.executable, "-m", "celery", "--app", "config.celery:app", "--quiet")
    return Program(name, *command, *arguments)


def worker(processes: int) -> Program:
    return celery("worker", "worker", "--concurrency", str(processes), *QUIET)


def beat() -> Program:
    schedule = installation.var() / "chaos" / "beat-schedule"
    return celery("beat", "beat", "--schedule", str(schedule), "--pidfile=")
