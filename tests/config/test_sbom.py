"""`make sbom`: the parts of an installation, from the lock that production installs from."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([a-zA-Z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def test_every_pin_of_production_is_in_the_bill_with_its_hashes(tmp_path):
    lock = (ROOT / "requirements" / "base.txt").read_text()
    pins = {(plain(name), version) for name, version in PIN.findall(lock)}

    subprocess.run(
        [str(shutil.which("make")), "sbom"],
        cwd=ROOT,
        env=os.environ | {"LEDGERLINE_VAR": str(tmp_path)},
        check=True,
        timeout=120,
        capture_output=True,
    )

    bill = json.loads((tmp_path / "sbom.json").read_text())
    parts = {(plain(part["name"]), part["version"]): part for part in bill["components"]}
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert parts.keys() == pins
    assert len(pins) > 40
    assert all(part["purl"].startswith("pkg:pypi/") for part in parts.values())
    assert [name for name, part in parts.items() if not hashes_of(part)] == []


def make(*arguments, **variables):
    return subprocess.run(
        [str(shutil.which("make")), *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_audit_is_strict_and_about_the_very_lock_that_production_installs():
    """Without `--strict` whatever cannot be looked up counts as sound (H4)."""
    told = make("--dry-run", "audit").stdout

    assert "pip-audit" in told
    for option in ("--strict", "--require-hashes", "--requirement requirements/base.txt"):
        assert option in told


@pytest.mark.verify
def test_an_audit_that_cannot_look_anything_up_fails(tmp_path):
    places = {"LEDGERLINE_VAR": str(tmp_path)}
    installed = make(f"{tmp_path}/audit/.installed", **places)
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")

    audited = make("audit", **places, **nowhere)

    assert installed.returncode == 0, installed.stderr
    assert audited.returncode != 0
    assert "No known vulnerabilities" not in audited.stdout + audited.stderr


def hashes_of(part):
    return [each for ref in part.get("externalReferences", []) for each in ref.get("hashes", [])]


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()
