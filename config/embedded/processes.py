"""Running a server as the right user, and telling a live server from a reused process id."""

import ctypes
import os
import platform
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1


class EmbeddedError(RuntimeError):
    """The embedded servers may not or cannot run here; the message says what to set instead."""


@dataclass(frozen=True)
class Account:
    """The user the servers run as: `nobody` under root, because PostgreSQL refuses root."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()

    @property
    def switch_uid(self) -> int | None:
        return self.uid if self.is_other else None

    @property
    def switch_gid(self) -> int | None:
        return self.gid if self.is_other else None

    @property
    def switch_groups(self) -> Sequence[int] | None:
        return () if self.is_other else None

    @classmethod
    def for_servers(cls) -> "Account":
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError as error:
            raise EmbeddedError(
                "PostgreSQL does not run as root and there is no user `nobody`."
            ) from error
        return cls(nobody.pw_uid, nobody.pw_gid)

    def own(self, path: Path, mode: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if self.is_other:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a server is started: command, user, folder and log."""

    command: Sequence[str]
    account: Account
    folder: Path
    log: Path
    stop_signal: signal.Signals

    def start(self, stdin: bytes = b"") -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                self.command,
                cwd=self.folder,
                env=environment(self.folder),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(self.stop_signal),  # noqa: PLW1509  one thread only
                user=self.account.switch_uid,
                group=self.account.switch_gid,
                extra_groups=self.account.switch_groups,
            )
        if process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        return process


def environment(home: Path) -> Mapping[str, str]:
    """No variable of ours reaches a server: PGDATA or LC_ALL would change what it does."""
    return {"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}


def command_of(pid: int) -> str:
    """The command line of a live process; empty for a dead one and for a zombie."""
    if platform.system() == "Linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return ""
    listed = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout


def stop_leftover(pid: int, marker: str, stop_signal: signal.Signals) -> None:
    """Stops a server whose guardian was killed, but only if the process is still that server."""
    if marker not in command_of(pid):
        return
    os.kill(pid, stop_signal)
    if not wait_for(lambda: marker not in command_of(pid), seconds=15):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: marker not in command_of(pid), seconds=5)


def stop(process: subprocess.Popen[bytes], *signals: signal.Signals) -> None:
    """Tries each signal for ten seconds, then kills."""
    for each in (*signals, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(each)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port(preferred: int = 0) -> int:
    """The port of the last run if it is free, so that URLs in open shells stay true."""
    if preferred and port_is_free(preferred):
        return preferred
    with _bound(0) as probe:
        found: int = probe.getsockname()[1]
    return found


def port_is_free(port: int) -> bool:
    try:
        _bound(port).close()
    except OSError:
        return False
    return True


def _bound(port: int) -> socket.socket:
    probe = socket.socket()
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        raise
    return probe


def tail(log: Path, lines: int = 20) -> str:
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def die_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """Linux tells a server when its guardian is killed; elsewhere the next start stops it."""
    if platform.system() != "Linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(stop_signal))
