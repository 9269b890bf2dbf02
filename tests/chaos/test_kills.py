"""The short versions of `make chaos`: every part is killed once."""

import json
import subprocess
import sys

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.verify

PATIENCE = 600  # how old the picture may be: a busy machine may need long to start a server


@pytest.fixture
def chaos(tmp_path, monkeypatch):
    """Runs it on servers of its own; returns the last line that it prints."""
    monkeypatch.setenv("LEDGERLINE_VAR", str(tmp_path))
    for name in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        command = [sys.executable, "-m", "tests.chaos", *arguments]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return run


def test_sixteen_processes_admit_exactly_what_there_is(chaos):
    found = chaos("exactness", "--rounds", "2")["exactness"]

    assert found["exact"] == 2


def test_nothing_acknowledged_is_lost_when_every_part_is_killed_once(chaos):
    found = chaos("kills", "--kills", "6")["kills"]

    assert found["kills"] == 6
    assert found["accepted"] > 0


def test_everything_agrees_after_each_part_is_killed_while_everybody_does_everything(chaos):
    found = chaos("mixed", "--kills", "5", "--staleness", str(PATIENCE))["mixed"]

    assert found["kills"] == {"web": 1, "worker": 1, "beat": 1, "Redis": 1, "PostgreSQL": 1}
    assert found["differences"] == 0
    assert found["events_told"] > 100
