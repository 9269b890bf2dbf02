"""The short version of `make chaos`: every part is killed once."""

import json
import subprocess
import sys

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.verify

KILLS = 6


def test_nothing_acknowledged_is_lost_when_every_part_is_killed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("LEDGERLINE_VAR", str(tmp_path))
    for name in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-m", "tests.chaos", "--rounds", "2", "--kills", str(KILLS)]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])["kills"]
    assert found["kills"] == KILLS
    assert found["accepted"] > 0
