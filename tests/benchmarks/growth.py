"""python -m tests.benchmarks.growth: the cost of one consume alone, at the sizes that are named.

`make bench` measures it beside the rates; this needs no quiet machine, because pages do not depend
on who else is busy.
"""

import argparse
import sys
import time

from tests import installation

SIZES = ("1000:1000000", "100000:1000000", "1000000:1000000", "1000000:20000000")


def main() -> None:
    asked = _arguments()
    installation.install("growth", "tests.benchmarks.settings")
    from tests.benchmarks import cost, report, targets  # noqa: PLC0415  needs the installation

    sizes = [(int(few), int(rows)) for few, _, rows in (size.partition(":") for size in asked.size)]
    began = time.monotonic()

    def say(sentence: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.0f} s  {sentence}\n")
        sys.stdout.flush()

    costs = cost.measure(sizes, say, keep=asked.keep)
    say("done")
    report.show(report.grown(costs), report.judged(targets.growth(costs)))
    report.write(installation.var() / "growth.json", {"machine": report.machine(), "cost": costs})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.growth")
    parser.add_argument("size", nargs="*", default=SIZES, help="organizations:ledger rows")
    parser.add_argument("--keep", action="store_true", help="leave the rows for a closer look")
    return parser.parse_args()


if __name__ == "__main__":
    main()
