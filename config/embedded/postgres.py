"""The private PostgreSQL: one cluster, one superuser, loopback only, by password."""

import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from config.embedded.places import Places
from config.embedded.processes import (
    Account,
    EmbeddedError,
    Launch,
    environment,
    free_port,
    stop,
    stop_leftover,
    tail,
    wait_for,
)

NAME = "ledgerline"  # of the superuser and of the database
SOCKET_PATH_LIMIT = 90  # a socket's path has 107 bytes, of which its name takes up to 16
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "max_locks_per_transaction": "256",  # a month's partitions, times the tables, times the tests
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # compiling costs more than these small queries
}
# For tests: what a power cut would lose there is made anew anyway. A kill -9 still loses nothing.
UNSAFE_AND_QUICK = {"fsync": "off", "full_page_writes": "off"}
ENCODING = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
HOST_BASED_ACCESS = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
TRANSIENT = re.compile(r"pre-existing shared memory|Address already in use|lock file")
# A killed server replays its log first: stopping it half-way would only make it begin again.
LONGEST_RECOVERY_SECONDS = 600


class Postgres:
    def __init__(self, places: Places, home: Path, programs: Path, account: Account) -> None:
        self.places, self.account, self.bin = places, account, programs / "bin"
        self.folder = home / "postgres"
        self.data = self.folder / "data"
        self.log = home / "postgres.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        password = self.places.recall()["postgres_password"]
        return f"postgresql://{NAME}:{password}@127.0.0.1:{self.port}/{NAME}"

    def start(self) -> None:
        self.account.own(self.folder, 0o700)
        self.log.write_text("")
        self._create_cluster()
        self._refuse_other_version()
        self._clear_leftover()
        self._set_password()
        self.port = free_port(int(str(self.places.recall().get("postgres_port", 0))))
        self._run()
        self.places.remember(postgres_port=self.port)

    def revive(self) -> None:
        """After a crash or a kill -9: the same port, so that every URL stays true."""
        if self.process is not None and self.process.poll() is not None:
            self._clear_leftover()
            self._run()

    def stop(self) -> None:
        """Fast shutdown: open transactions roll back, connections close."""
        if self.process is not None:
            stop(self.process, signal.SIGINT, signal.SIGQUIT)

    def _create_cluster(self) -> None:
        if self.data.exists():
            return
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._program(
            ["initdb", f"--pgdata={fresh}", f"--username={NAME}", "--auth=trust", *ENCODING]
        )
        (fresh / "pg_hba.conf").write_text(HOST_BASED_ACCESS)
        self._single_user(fresh, f"CREATE DATABASE {NAME}")
        fresh.rename(self.data)

    def _set_password(self) -> None:
        if "postgres_password" in self.places.recall():
            return
        password = secrets.token_urlsafe(24)
        self._single_user(self.data, f"ALTER ROLE {NAME} PASSWORD '{password}'")
        self.places.remember(postgres_password=password)

    def _refuse_other_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = self._program(["postgres", "--version"])
        if f" {made_by}." not in ours:
            raise EmbeddedError(
                f"The data in {self.data} was made by PostgreSQL {made_by}, this is {ours.strip()}."
                " Run `make reset` to start anew."
            )

    def _clear_leftover(self) -> None:
        """PostgreSQL refuses to start if a stale file names any live process of its user."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        first_line = pid_file.read_text().partition("\n")[0]
        if first_line.isdigit():
            stop_leftover(int(first_line), str(self.data), signal.SIGINT)
        pid_file.unlink(missing_ok=True)

    def _run(self) -> None:
        for _attempt in range(20):
            process = self.process = self._launch()
            if self._is_ready(process):
                return
            stop(process, signal.SIGQUIT)
            if not TRANSIENT.search(tail(self.log)):
                break
            wait_for(lambda: False, seconds=0.5)  # backends of a killed server still let go
        raise EmbeddedError(f"PostgreSQL did not start:\n{tail(self.log)}")

    def _launch(self) -> subprocess.Popen[bytes]:
        fits = len(str(self.folder)) < SOCKET_PATH_LIMIT
        socket_folder = f'"{self.folder}"' if fits else ""  # quoted: the setting is a list
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": socket_folder}
        if os.environ.get("LEDGERLINE_EMBEDDED_FSYNC") == "0":
            settings |= UNSAFE_AND_QUICK
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Launch(
            command=[str(self.bin / "postgres"), "-D", str(self.data), *options],
            account=self.account,
            folder=self.folder,
            log=self.log,
            stop_signal=signal.SIGINT,
        ).start()

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        def settled() -> bool:
            return process.poll() is not None or self._status(process.pid) == "ready"

        return wait_for(settled, seconds=LONGEST_RECOVERY_SECONDS) and process.poll() is None

    def _status(self, pid: int) -> str:
        """The eighth line of postmaster.pid, as pg_ctl reads it."""
        try:
            first, *rest = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return ""
        return rest[6].strip() if first == str(pid) and rest[6:] else ""

    def _single_user(self, data: Path, statement: str) -> None:
        command = ["postgres", "--single", "-D", str(data), "postgres"]
        printed = self._program(command, f"{statement}\n")
        if "ERROR" in printed or "FATAL" in printed:
            raise EmbeddedError(f"PostgreSQL could not be prepared:\n{printed}")

    def _program(self, command: list[str], stdin: str = "") -> str:
        ended = subprocess.run(  # noqa: S603
            [str(self.bin / command[0]), *command[1:]],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=environment(self.folder),
            check=False,
            user=self.account.switch_uid,
            group=self.account.switch_gid,
            extra_groups=self.account.switch_groups,
        )
        if ended.returncode != 0:
            raise EmbeddedError(f"{command[0]} failed:\n{ended.stdout}")
        return ended.stdout
