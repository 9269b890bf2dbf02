"""python -m tests.benchmarks: figures of the engine beside their ceilings, in some minutes."""

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from tests import installation

if TYPE_CHECKING:
    from tests.benchmarks.cost import Cost
    from tests.benchmarks.rounds import Measured

SPREAD = 1_000
THREADS = 64
LEDGER_ROWS = 1_000_000


class Found(NamedTuple):
    cases: "dict[str, Measured]"
    copy: float
    insert_us: float
    generator: str


def main() -> None:
    asked = _arguments()
    os.environ["BENCH_TOKEN"] = secrets.token_urlsafe(32)
    installation.install("bench", "tests.benchmarks.settings")
    from tests.benchmarks import report, rounds, targets  # noqa: PLC0415  needs the installation

    before = report.machine()
    found = _rounds(asked)
    costs = [] if asked.only_rounds else _costs(asked)
    verdicts = targets.verdicts(found.cases, found.copy, found.insert_us, costs)
    report.show(report.rates(found.cases), report.batches(found.cases, found.copy))
    report.show(report.grown(costs), report.judged(verdicts))
    _say(
        f"COPY {found.copy:,.0f} rows/s · one durable INSERT {found.insert_us:,.0f} µs"
        f" · load by {found.generator}"
    )
    unsteady = rounds.unsteadiness(found.cases)
    if unsteady > rounds.STEADY:
        _say(f"UNSTEADY: the echo's rounds differ {unsteady:.1f}-fold. Nothing above is a result.")
    document = report.document(
        found.cases,
        verdicts,
        costs,
        machine={"before": before, "after": report.machine()},
        generator=found.generator,
        steady=unsteady <= rounds.STEADY,
        echo_fastest_over_slowest=round(unsteady, 2),
        rounds=asked.rounds,
        seconds=asked.seconds,
        copy_rows_per_second=round(found.copy),
        insert_p50_us=round(found.insert_us, 1),
    )
    report.write(installation.var() / "bench.json", document)
    _say(f"written to {installation.var() / 'bench.json'}")
    missed = any(one.word == "MISSED" for one in verdicts)
    sys.exit(1 if asked.strict and (missed or unsteady > rounds.STEADY) else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="per case and round")
    parser.add_argument("--no-wrk", action="store_true", help="load by Python, which is slower")
    parser.add_argument("--million", action="store_true", help="also 1,000,000 organizations")
    parser.add_argument("--rows", type=int, default=0, help="a larger ledger, e.g. 20000000")
    parser.add_argument("--only-rounds", action="store_true", help="leave the growth out")
    parser.add_argument("--strict", action="store_true", help="fail when a target is missed")
    return parser.parse_args()


def _rounds(asked: argparse.Namespace) -> Found:
    from tests.benchmarks import organizations, rounds  # noqa: PLC0415  needs the installation
    from tests.benchmarks.baselines import Baselines  # noqa: PLC0415
    from tests.benchmarks.load import Generator  # noqa: PLC0415

    organizations.empty()
    known = organizations.create(SPREAD)
    organizations.counters(known)
    organizations.settle()
    found: dict[str, Measured] = {}
    copies, inserts = [], []
    with _named(known[:1]) as hot, _named(known) as spread, _servers() as urls:
        generator = Generator(urls[0], _token(), urls[1], wrk=not asked.no_wrk)
        chosen = [*rounds.cases(hot, spread), *rounds.batches(hot, spread)]
        _say(f"warming up {len(chosen)} cases")
        rounds.run(generator, chosen, seconds=1, into={})
        baselines = Baselines()
        baselines.prepare()
        for number in range(asked.rounds):
            began = time.monotonic()
            copies.append(baselines.copy_rows_per_second())
            inserts.append(baselines.insert_p50_us(asked.seconds))
            rounds.run(generator, chosen, seconds=asked.seconds, into=found)
            load = os.getloadavg()[0]
            took = time.monotonic() - began
            _say(f"round {number + 1} of {asked.rounds}: {took:.0f} s, load {load:.1f}")
    return Found(found, median(copies), median(inserts), generator.name)


def _costs(asked: argparse.Namespace) -> "list[Cost]":
    from tests.benchmarks import cost  # noqa: PLC0415  needs the installation

    sizes = [(number, LEDGER_ROWS) for number in (1_000, 100_000)]
    if asked.million:
        sizes.append((1_000_000, LEDGER_ROWS))
    if asked.rows > LEDGER_ROWS:
        sizes.append((sizes[-1][0], asked.rows))
    return cost.measure(sizes, _say)


def _token() -> str:
    """A service token of a satellite, known to the other endpoints too."""
    from quotas import satellites  # noqa: PLC0415  needs the installation
    from quotas.models import Satellite, ServiceToken  # noqa: PLC0415

    satellite, _made = Satellite.objects.get_or_create(key="bench", defaults={"name": "Bench"})
    secret = satellites.PREFIX + os.environ["BENCH_TOKEN"]
    ServiceToken.objects.create(
        satellite=satellite,
        prefix=secret[: satellites.SHOWN_CHARACTERS],
        token_hash=satellites.hash_of(secret),
    )
    return secret


@contextmanager
def _servers() -> Iterator[list[str]]:
    """Ours, and the one with a thread per request; whichever is not asked costs nothing."""
    log = installation.var() / "bench" / "web.log"
    name = "tests.benchmarks.application"
    webs = [
        installation.Web(f"{name}:application", threads=THREADS, log=log),
        installation.Web(f"{name}:others", threads=THREADS, log=log, threaded=True),
    ]
    try:
        for web in webs:
            web.start()
        for web in webs:
            web.wait()
        yield [web.url for web in webs]
    finally:
        for web in webs:
            web.stop()


@contextmanager
def _named(organizations: list[UUID]) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(map(str, organizations)))
        file.flush()
        yield Path(file.name)


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
