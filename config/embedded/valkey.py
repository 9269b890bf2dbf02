"""The private Valkey: append-only file synced every second, nothing evicted, by password."""

import secrets
import signal
import socket
import subprocess
from pathlib import Path

from config.embedded.places import Places
from config.embedded.processes import (
    Account,
    EmbeddedError,
    Launch,
    free_port,
    stop,
    stop_leftover,
    tail,
    wait_for,
)

DATABASES = 64  # one per parallel test worker


class Valkey:
    def __init__(self, places: Places, home: Path, programs: Path, account: Account) -> None:
        self.places, self.account, self.program = places, account, programs / "valkey-server"
        self.folder = home / "valkey"
        self.pid_file = self.folder / "valkey.pid"
        self.log = home / "valkey.log"
        self.port = 0
        self.password = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.account.own(self.folder, 0o700)
        self.log.write_text("")
        self._clear_leftover()
        memory = self.places.recall()
        self.password = str(memory.get("valkey_password") or secrets.token_urlsafe(24))
        self.port = free_port(int(str(memory.get("valkey_port", 0))))
        self._run()
        self.places.remember(valkey_port=self.port, valkey_password=self.password)

    def revive(self) -> None:
        """After a crash or a kill -9: the same port, so that every URL stays true."""
        if self.process is not None and self.process.poll() is not None:
            self._run()

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signal.SIGTERM)

    def _clear_leftover(self) -> None:
        if not self.pid_file.exists():
            return
        first_line = self.pid_file.read_text().strip()
        if first_line.isdigit():
            stop_leftover(int(first_line), str(self.folder), signal.SIGTERM)
        self.pid_file.unlink(missing_ok=True)

    def _run(self) -> None:
        process = self.process = Launch(
            command=[str(self.program), "-"],
            account=self.account,
            folder=self.folder,
            log=self.log,
            stop_signal=signal.SIGTERM,
        ).start(stdin=self._configuration().encode())
        settled = wait_for(lambda: process.poll() is not None or self._answers(), seconds=60)
        if not settled or process.poll() is not None:
            raise EmbeddedError(f"Valkey did not start:\n{tail(self.log)}")

    def _configuration(self) -> str:
        """Through standard input, so that the password shows in no process list."""
        return "\n".join(
            [
                f"port {self.port}",
                "bind 127.0.0.1",
                f"requirepass {self.password}",
                f'dir "{self.folder}"',
                f'pidfile "{self.pid_file}"',
                f'proc-title-template "{{title}} {{listen-addr}} {self.folder}"',
                f"databases {DATABASES}",
                "appendonly yes",
                "appendfsync everysec",
                "maxmemory-policy noeviction",
                'save ""',
                "",
            ]
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False
