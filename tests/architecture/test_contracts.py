"""Floors and doors: the contracts of pyproject.toml hold, and nobody has taken one away."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = {
    "floors",
    "one-door-to-stripe",
    "one-door-to-redis",
    "models-at-the-bottom",
    "billing-private-rooms",
    "simulator-stands-alone",
    "no-cycles-inside",
}


def test_the_imports_keep_every_contract():
    lint_imports = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_no_contract_was_taken_away():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

    assert {contract["id"] for contract in settings["contracts"]} >= CONTRACTS
    assert settings["include_external_packages"] is True


def test_no_import_is_hidden_in_a_function_outside_start_up():
    """import-linter sees these too; people do not, and they hide cycles."""
    hidden = [
        f"{path.relative_to(ROOT)}:{number}"
        for app in ("orgs", "billing", "quotas", "config")
        for path in sorted((ROOT / app).rglob("*.py"))
        if path.name != "apps.py" and "migrations" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if line.startswith(" ")
        and line.lstrip().startswith(("from orgs", "from billing", "from quotas"))
    ]

    assert hidden == []
