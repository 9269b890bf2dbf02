"""Floors and doors: the contracts of pyproject.toml hold, and nobody has taken one away."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("orgs", "billing", "quotas")
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
        f"{path.relative_to(ROOT)}:{line}"
        for app in OURS
        for path in sorted((ROOT / app).rglob("*.py"))
        if path.name != "apps.py" and "migrations" not in path.parts
        for line in imports_in_functions(path)
    ]

    assert hidden == []


def imports_in_functions(path: Path) -> list[int]:
    """Lines where a function imports a module of ours."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    return [
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS
    ]
