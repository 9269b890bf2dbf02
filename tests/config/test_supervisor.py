import sys
import time

import pytest

from config.embedded.processes import command_of
from config.supervisor import NotReadyError, Program, ProgramEndedError, Supervisor


@pytest.fixture
def supervisor(tmp_path):
    supervisor = Supervisor(tmp_path, tmp_path / "log")
    yield supervisor
    supervisor.kill_all()


def program(name, code):
    return Program(name=name, command=[sys.executable, "-u", "-c", code])


def test_the_death_of_one_child_is_told_with_the_end_of_its_log(supervisor):
    supervisor.start(program("steady", "import time; time.sleep(60)"))
    supervisor.start(program("frail", "print('the last words'); raise SystemExit(3)"))

    with pytest.raises(ProgramEndedError, match=r"frail ended with code 3.*\n.*the last words"):
        supervisor.watch()


def test_a_child_that_never_answers_is_given_up(supervisor):
    supervisor.start(program("silent", "import time; time.sleep(60)"))

    with pytest.raises(NotReadyError, match="The silent one took longer"):
        supervisor.wait_until(lambda: False, what="The silent one", seconds=0.2)


def test_stopping_takes_the_grandchildren_along(supervisor, tmp_path):
    pid_file = tmp_path / "pid"
    supervisor.start(
        program(
            "parent",
            "import subprocess, sys, time, pathlib, signal\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
            "time.sleep(60)\n",
        )
    )
    supervisor.wait_until(lambda: pid_file.exists() and pid_file.read_text(), what="It", seconds=10)
    grandchild = int(pid_file.read_text())
    assert command_of(grandchild)

    supervisor.stop_all()

    assert not command_of(grandchild)


def test_a_child_that_ignores_the_request_is_killed(supervisor, monkeypatch, tmp_path):
    monkeypatch.setattr("config.supervisor.STOP_SECONDS", 0.5)
    ready = tmp_path / "ready"
    supervisor.start(
        program(
            "stubborn",
            "import signal, time, pathlib\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            f"pathlib.Path({str(ready)!r}).touch()\n"
            "time.sleep(60)\n",
        )
    )
    supervisor.wait_until(ready.exists, what="It", seconds=10)
    started = time.monotonic()

    supervisor.stop_all()

    assert time.monotonic() - started < 5
