"""The load generator: wrk, installed where root allows, else a Python process of our own."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

from tests import debian

_SCRIPT = Path(__file__).with_name("requests.lua")
_GRACE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked for. With `events`, each request is a batch of so many."""

    path: str
    organizations: Path
    threaded: bool = False  # the other server
    verb: str = "consume"
    events: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """Requests, or events of batches, per second; latencies of requests in microseconds."""

    per_second: float
    p50_us: float
    p99_us: float
    errors: int


class Generator:
    """Every run has keys of its own, so that no answer is a replay."""

    def __init__(
        self, base_url: str, token: str, threaded_url: str = "", *, wrk: bool = True
    ) -> None:
        self.base_url = base_url
        self.threaded_url = threaded_url
        self.token = token
        self.wrk = shutil.which("wrk") if wrk else None
        self._serial = uuid4().hex[:8]
        self._numbers = count()

    @property
    def name(self) -> str:
        return "wrk" if self.wrk else "Python (not wrk: the figures are the generator's)"

    def run(self, target: Target, *, connections: int, seconds: float) -> Result:
        """Raises RuntimeError with the generator's own words when it gives no figures."""
        done = subprocess.run(
            self._command(target, connections, seconds),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _GRACE_SECONDS,
        )
        found = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
        if not found:
            raise RuntimeError(done.stdout + done.stderr)
        figures = json.loads(found.removeprefix("RESULT "))
        rate = figures["requests"] / figures["microseconds"] * 1e6
        return Result(
            per_second=rate * max(target.events, 1),
            p50_us=figures["p50"],
            p99_us=figures["p99"],
            errors=figures["errors"],
        )

    def _command(self, target: Target, connections: int, seconds: float) -> list[str]:
        url = f"{self.threaded_url if target.threaded else self.base_url}{target.path}"
        run = f"{self._serial}-{next(self._numbers)}"
        asked = [self.token, run, str(target.events), target.verb, str(target.organizations)]
        if self.wrk:
            options = ["-t", "1", "-c", str(connections), "-d", f"{max(round(seconds), 1)}s"]
            return [self.wrk, *options, "-s", str(_SCRIPT), url, "--", *asked]
        module = [sys.executable, "-m", "tests.benchmarks.generator"]
        return [*module, "-c", str(connections), "-d", str(seconds), url, *asked]


def main() -> None:
    if shutil.which("wrk") is None:
        debian.install("wrk", "the benchmarks")


if __name__ == "__main__":
    main()
