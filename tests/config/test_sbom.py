"""`make sbom`: the parts of an installation, from the lock that production installs from."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

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


def hashes_of(part):
    return [each for ref in part.get("externalReferences", []) for each in ref.get("hashes", [])]


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()
