"""python -m tests.chaos: the long proofs, on servers of their own.

`exactness --rounds 50` races 16 processes; `kills --kills 100` kills every part under load;
`rolling --restarts 10` restarts two web servers in turn under load; `mixed --kills 100` kills web,
worker, beat, Redis and PostgreSQL while satellites, owners and Stripe go on.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
from typing import Any

from config import embedded
from tests import installation
from tests.stripe_simulator import process

_OUTSIDE = dict(os.environ)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.chaos")
    parser.add_argument(
        "proof", choices=("all", "exactness", "kills", "rolling", "mixed"), nargs="?", default="all"
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument(
        "--staleness", type=float, default=60, help="seconds that a plan or a chart may be old"
    )
    asked = parser.parse_args()
    os.environ["LOG_LEVEL"] = "ERROR"
    if asked.proof == "mixed":
        _mixed(asked.kills, asked.staleness)
        return
    services = installation.install("chaos", "tests.settings")
    if asked.proof in {"all", "exactness"}:
        _say(json.dumps({"exactness": _exactness(asked.rounds)}))
    if asked.proof in {"all", "kills"}:
        from tests.chaos import kills  # noqa: PLC0415  needs the installation

        _say(json.dumps({"kills": kills.run(services, asked.kills, _say)}))
    if asked.proof == "all":  # on settings of its own
        command = [sys.executable, "-m", "tests.chaos", "mixed", "--kills", str(asked.kills)]
        subprocess.run(command, cwd=installation.ROOT, env=_OUTSIDE, check=True)
    if asked.proof == "rolling":
        from tests.chaos import rolling  # noqa: PLC0415  needs the installation

        _say(json.dumps({"rolling": rolling.run(asked.restarts, _say)}))


def _mixed(kills: int, staleness: float) -> None:
    """Ends with 1 where anything differs, or the picture was older than that."""
    port = process.free_port()
    os.environ |= {
        "DEBUG": "0",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "SITE_URL": "http://127.0.0.1",
        "DJSTRIPE_SHIM": "1",
        "SECURE_SSL_REDIRECT": "0",
        "STRIPE_SECRET_KEY": "sk_test_" + "51LedgerlineChaosOnly0000",
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "ledgerline_chaos_only",
        "STRIPE_SIMULATOR_URL": f"http://127.0.0.1:{port}",
    }
    embedded.reset(installation.var() / "mixed")  # its customers are unknown to a new simulator
    services = installation.install("mixed", "tests.chaos.settings")
    from tests.chaos import mixed  # noqa: PLC0415  needs the installation

    with process.start(port, strict=False) as simulator:
        found = mixed.run(services, simulator, kills, _say)
    _say(json.dumps({"mixed": found}))
    oldest = max(found["oldest_seconds"][name] for name in ("plan", "charts"))
    if found["differences"] or oldest > staleness:
        raise SystemExit(f"{found['differences']} differ, the picture was {oldest} s old")


def _exactness(rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.chaos.racers", str(rounds)]
    ended = subprocess.run(command, cwd=installation.ROOT, stdout=subprocess.PIPE, check=True)
    found = json.loads(ended.stdout)
    from tests.chaos.racers import LIMIT, PROCESSES  # noqa: PLC0415  after the settings

    exact = sum(found[side].count(LIMIT) for side in ("admitted", "ledger"))
    if exact != 2 * rounds:
        raise SystemExit(f"not exact: {found}")
    return {"rounds": rounds, "processes": PROCESSES, "limit": LIMIT, "exact": rounds}


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
