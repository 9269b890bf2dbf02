"""Child processes that live and die together: one that ends takes the others along."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config.embedded.processes import die_with_parent, tail, wait_for

STOP_SECONDS = 12.0  # Celery finishes the task it is in


@dataclass(frozen=True, kw_only=True)
class Program:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class ProgramEndedError(RuntimeError):
    """A child ended by itself; the message ends with the last lines of its log."""


class NotReadyError(RuntimeError):
    """A child runs but does not answer in time."""


class Supervisor:
    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder, self.logs = folder, logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, program: Program) -> None:
        """In a session of its own: Ctrl-C reaches the children through `stop_all`, in order."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log_of(program.name).open("wb") as log:
            self._children[program.name] = subprocess.Popen(  # noqa: S603
                program.command,
                cwd=self.folder,
                env=os.environ | program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  no threads yet
            )

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def check(self) -> None:
        """Raises ProgramEndedError if any child is gone."""
        for name, child in self._children.items():
            if (code := child.poll()) is not None:
                raise ProgramEndedError(
                    f"{name} ended with {_describe(code)}. The end of {self.log_of(name)}:\n"
                    f"{tail(self.log_of(name), lines=30)}"
                )

    def wait_until(self, condition: Callable[[], bool], *, what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise NotReadyError(f"{what} took longer than {seconds:.0f} s.")
            time.sleep(0.05)

    def watch(self) -> None:
        """Returns only by an exception: a signal's, or ProgramEndedError."""
        while True:
            self.check()
            time.sleep(0.2)

    def stop_all(self) -> None:
        """The last started stops first; whoever does not stop in time is killed."""
        for child in reversed(self._children.values()):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
        self.kill_all()

    def kill_all(self) -> None:
        """Takes each child's whole group, so that no grandchild is left."""
        for child in self._children.values():
            _signal_group(child, signal.SIGKILL)
            child.wait()
            wait_for(partial(_is_gone, child.pid), seconds=2)


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):  # gone; on macOS a zombie
        return


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return True
    return False


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
