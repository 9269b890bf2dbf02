"""python -m tests.fuzzing webhook --minutes 30: libFuzzer on one target, by atheris.

The minutes are this process's own CPU time, so that a busy machine takes longer, not less. What it
finds lies under `var/fuzzing/<target>`; a crash belongs into `tests/fuzzing/corpus`.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable

import atheris

from tests import installation

TARGETS = ("webhook", "licence", "usage", "catalogue")
READ = (
    "billing.catalog", "billing.gateway.webhooks", "billing.licence", "quotas.api",
    "quotas.engine.asking",
)  # fmt: skip
RUNS_BETWEEN_LOOKS = 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzzing")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=30, help="of CPU")
    asked = parser.parse_args()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "LOG_LEVEL": "CRITICAL",
    }
    with atheris.instrument_imports(include=list(READ)):
        import django  # noqa: PLC0415  after the settings

        django.setup()
        from tests.fuzzing import targets  # noqa: PLC0415
    import logging  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    found = installation.var() / "fuzzing" / asked.target
    found.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(targets.seeds(asked.target)):
        (found / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], str(found), "-max_len=8192", "-timeout=120",
         f"-artifact_prefix={found}/crash-", "-print_final_stats=1"],
        _until(asked.minutes * 60, targets.TARGETS[asked.target]),
    )  # fmt: skip
    atheris.Fuzz()


def _until(seconds: float, target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The target; once so much CPU time is used, libFuzzer is asked to end after this run."""
    began, runs = time.process_time(), 0

    def run(data: bytes) -> None:
        nonlocal runs
        target(data)
        runs += 1
        if runs % RUNS_BETWEEN_LOOKS == 0 and (used := time.process_time() - began) >= seconds:
            sys.stderr.write(f"{runs} runs in {used:.0f} s of CPU, no crash\n")
            os.kill(os.getpid(), signal.SIGUSR1)

    return run


if __name__ == "__main__":
    main()
