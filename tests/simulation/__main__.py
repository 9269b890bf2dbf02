"""python -m tests.simulation --seed 7 [--seeds 500]: worlds on servers of their own.

Prints a line for each seed, and of a seed that breaks something the shortest trace.
"""

import argparse
import json
import logging
import os
import resource
import sys
from collections import Counter

from tests import installation


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--replays", type=int, default=60, help="at most, to shorten the trace of a broken seed"
    )
    parser.add_argument("--trace", action="store_true", help="print every step")
    asked = parser.parse_args()
    os.environ |= {"LOG_LEVEL": "CRITICAL", "LEDGERLINE_EMBEDDED_FSYNC": "0"}
    installation.install("simulation", "tests.settings")
    logging.disable(logging.CRITICAL)
    return _all(asked.seed, asked.seeds, replays=asked.replays, trace=asked.trace)


def _all(first: int, number: int, *, replays: int, trace: bool) -> int:
    from redis import Redis  # noqa: PLC0415  all of these need the installation

    from tests.simulation import playing, stage  # noqa: PLC0415
    from tests.stripe_simulator import process  # noqa: PLC0415

    port = int(os.environ["STRIPE_SIMULATOR_URL"].rpartition(":")[2])
    broken, done = 0, Counter[str]()
    with (
        process.start(port, strict=False) as simulator,
        Redis.from_url(os.environ["REDIS_URL"]) as redis,
        stage.opened(simulator, redis) as playground,
    ):
        for seed in range(first, first + number):
            found = playing.play(playground, playing.draw(seed, playground))
            if isinstance(found, playing.Found):
                broken += 1
                _say(str(found) if trace else f"seed {seed}: {found.sentence}")
                _say(str(playing.shortest(playground, found, replays=replays)))
                continue
            done += found.done
            _say(f"seed {seed} on {found.script.catalogue}: {found.digest}")
            if trace:
                _say("\n".join(found.trace))
    _say(json.dumps({"seeds": number, "broken": broken, "steps": done.total(), **done}))
    _say(f"{_cpu()} s of CPU, PostgreSQL and Redis not counted")
    return min(broken, 1)


def _cpu() -> float:
    """Of this process and of every server that it started and has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(one.ru_utime + one.ru_stime for one in used), 1)


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
