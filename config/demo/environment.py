"""The environment of `manage.py demo`, complete before the settings are read.

Nothing here weakens a real deployment: it is set for the demo's own process and its children only.
"""

import fcntl
import json
import os
import secrets
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import environ

from config import aliases
from config.embedded import BASE_DIR
from config.embedded.places import write_private
from config.embedded.processes import port_is_free

STARTED = time.monotonic()  # manage.py imports this module first


@dataclass(frozen=True)
class DemoEnvironment:
    var: Path
    port: int
    simulator_port: int
    uses_stripe_itself: bool

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator_url(self) -> str:
        """Empty when Stripe itself is used."""
        return "" if self.uses_stripe_itself else f"http://127.0.0.1:{self.simulator_port}"

    @property
    def webhook_url(self) -> str:
        return f"{self.base_url}/webhooks/stripe"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def simulator_state(self) -> Path:
        return self.var / "simulator"

    @property
    def summary(self) -> Path:
        return self.var / "demo.json"

    @property
    def memory(self) -> Path:
        """Secrets and progress that a second start needs; mode 0600."""
        return self.var / "demo" / "memory.json"

    @cached_property
    def known(self) -> dict[str, str]:
        if not self.memory.exists():
            return {}
        known: dict[str, str] = json.loads(self.memory.read_text())
        return known

    def remember(self, **facts: str) -> None:
        self.known.update(facts)
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        write_private(self.memory, json.dumps(self.known))

    def lock(self) -> IO[str]:
        """One demo per folder. Exits with a sentence when another one runs."""
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        file = (self.memory.parent / "running.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"A demo already runs on {self.var}. Set LEDGERLINE_VAR for a second one.")
        return file


def read() -> DemoEnvironment:
    simulator = os.environ.get("STRIPE_SIMULATOR_URL", "")
    return DemoEnvironment(
        var=Path(os.environ.get("LEDGERLINE_VAR") or BASE_DIR / "var").resolve(),
        port=int(os.environ.get("PORT") or 8000),
        simulator_port=int(os.environ.get("SIMULATOR_PORT") or 8001),
        uses_stripe_itself=bool(os.environ.get("STRIPE_SECRET_KEY")) and not simulator,
    )


def prepare(*, beside: bool = False) -> None:
    """Called by manage.py before the settings load. A variable that is set wins.

    `beside` a demo that runs its ports are taken, as they should be.
    """
    if (BASE_DIR / ".env").is_file():
        environ.Env.read_env(str(BASE_DIR / ".env"))
    aliases.adopt(os.environ, os.environ.get("CATALOG", ""))
    demo = read()
    _refuse_live_key()
    _refuse_other_data(demo)
    if not beside:
        _refuse_taken_ports(demo)
    for name, value in _defaults(demo).items():
        if not os.environ.get(name):
            os.environ[name] = value
    os.environ["DEBUG"] = "1"


def _refuse_live_key() -> None:
    if "_live_" in os.environ.get("STRIPE_SECRET_KEY", ""):
        sys.exit("The demo takes a test key (sk_test_…): a live key moves real money.")


def _refuse_other_data(demo: DemoEnvironment) -> None:
    """Customers of the simulator are unknown to Stripe, and each catalogue has its own plans."""
    where = "Stripe itself" if demo.uses_stripe_itself else "the simulator"
    wanted = f"{where} with CATALOG={os.environ.get('CATALOG') or 'suite'}"
    made = demo.known.get("made_for", wanted)
    if made != wanted:
        sys.exit(
            f"The data in {demo.var} was made for {made}, not for {wanted}. "
            "Set LEDGERLINE_VAR to another folder, or drop the data with `make reset`."
        )
    demo.remember(made_for=wanted)


def _refuse_taken_ports(demo: DemoEnvironment) -> None:
    """A server that finds its port taken says less."""
    ports = {"PORT": demo.port}
    if demo.simulator_url:
        ports["SIMULATOR_PORT"] = demo.simulator_port
    for name, port in ports.items():
        if not port_is_free(port):
            sys.exit(f"Port {port} is in use. Choose another: make demo {name}={port + 100}")


def _defaults(demo: DemoEnvironment) -> dict[str, str]:
    defaults = {
        "LEDGERLINE_VAR": str(demo.var),
        "SECRET_KEY": _kept_secret(demo, "secret_key", ""),
        "SITE_URL": demo.base_url,
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "DJSTRIPE_SHIM": "1",
        "EMAIL_URL": "filemail://",
        "EMAIL_FILE_PATH": str(demo.var / "mail"),
        "LOG_LEVEL": "INFO",
        # Browsers share cookies between the ports of one host: two demos would log each other out.
        "SESSION_COOKIE_NAME": f"sessionid_{demo.port}",
        "CSRF_COOKIE_NAME": f"csrftoken_{demo.port}",
    }
    if demo.uses_stripe_itself:
        return defaults
    return defaults | {
        "STRIPE_SIMULATOR_URL": demo.simulator_url,
        "STRIPE_SECRET_KEY": _kept_secret(demo, "stripe_api_key", "sk_test_"),
        "STRIPE_WEBHOOK_SECRET": _kept_secret(demo, "webhook_secret", "whsec_"),
    }


def _kept_secret(demo: DemoEnvironment, name: str, prefix: str) -> str:
    if name not in demo.known:
        demo.remember(**{name: prefix + secrets.token_hex(24)})
    return demo.known[name]
