"""python -m tests.decisions branches|mutants: how well the pure tests hold what decides.

Needs no server. Which modules are mutated, and by which tests they are held, says [tool.mutmut] in
pyproject.toml; which mutants may live, and why, says docs/mutation.md.
"""

import argparse
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from tests.decisions import mutants
from tests.installation import ROOT, var

# Too many texts to mutate, but every branch of them is asked for, too.
ALSO_MEASURED = ("billing/entitlement/verdict.py", "quotas/engine/decisions.py")
NO_SERVERS = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.decisions")
    parser.add_argument("proof", choices=("branches", "mutants"))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    asked = parser.parse_args()
    os.environ |= NO_SERVERS
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    if asked.proof == "branches":
        sys.exit(_branches(rules))
    began = time.monotonic()
    found = mutants.run(var() / "mutants", asked.processes)
    sys.stdout.write(mutants.report(found, time.monotonic() - began))
    sys.exit(not mutants.holds(found))


def _branches(rules: dict[str, Any]) -> int:
    data = var() / "decisions.coverage"
    data.parent.mkdir(parents=True, exist_ok=True)
    os.environ["COVERAGE_FILE"] = str(data)
    measured = [*rules["only_mutate"], *ALSO_MEASURED]
    tests = [*rules["pytest_add_cli_args"], *rules["pytest_add_cli_args_test_selection"]]
    rooms = ",".join(sorted({str(Path(module).parent) for module in measured}))
    ended = _coverage("run", "--branch", f"--source={rooms}", "-m", "pytest", "-q", *tests)
    only = f"--include={','.join(measured)}"
    return ended or _coverage("report", only, "--fail-under=100", "--no-skip-covered")


def _coverage(*arguments: str) -> int:
    command = [str(Path(sys.executable).with_name("coverage")), *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    main()
