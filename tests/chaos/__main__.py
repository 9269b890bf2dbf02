"""python -m tests.chaos: the long proofs, on servers of their own.

`exactness --rounds 50` races 16 processes; `kills --kills 100` kills every part under load;
`rolling --restarts 10` restarts two web servers in turn under load.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from tests import installation


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.chaos")
    parser.add_argument(
        "proof", choices=("all", "exactness", "kills", "rolling"), nargs="?", default="all"
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--restarts", type=int, default=10)
    asked = parser.parse_args()
    os.environ["LOG_LEVEL"] = "ERROR"
    services = installation.install("chaos", "tests.settings")
    if asked.proof in {"all", "exactness"}:
        _say(json.dumps({"exactness": _exactness(asked.rounds)}))
    if asked.proof in {"all", "kills"}:
        from tests.chaos import kills  # noqa: PLC0415  needs the installation

        _say(json.dumps({"kills": kills.run(services, asked.kills, _say)}))
    if asked.proof == "rolling":
        from tests.chaos import rolling  # noqa: PLC0415  needs the installation

        _say(json.dumps({"rolling": rolling.run(asked.restarts, _say)}))


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
