"""python -m tests.fuzzing webhook --minutes 30: libFuzzer on one target, by atheris.

What it finds lies under `var/fuzzing/<target>`; a crash belongs into `tests/fuzzing/corpus`.
"""

import argparse
import os
import sys

import atheris

from tests import installation

TARGETS = ("webhook", "licence", "usage", "catalogue")
READ = (
    "billing.catalog", "billing.gateway.webhooks", "billing.licence", "quotas.api",
    "quotas.engine.asking",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzzing")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=30)
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
    seconds = int(asked.minutes * 60)
    atheris.Setup(
        [sys.argv[0], str(found), f"-max_total_time={seconds}", "-max_len=8192", "-timeout=20",
         f"-artifact_prefix={found}/crash-", "-print_final_stats=1"],
        targets.TARGETS[asked.target],
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
