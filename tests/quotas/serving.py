"""The real server in a process of its own, on the test's database: to be called, and killed."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 40


class Served:
    """Granian on a port that stays the same when it is started again."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "granian", "--interface", "rsgi"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "config.rsgi:application"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.1)

    def stop(self):
        """As in a power cut of this process: nothing is drained."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)
            self.process = None

    def _answers(self):
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            asking.request("GET", "/healthz")
            return asking.getresponse().status == 200
        except OSError:
            return False
        finally:
            asking.close()


def _environment():
    server = os.environ["DATABASE_URL"].partition("?")
    database = server[0].rpartition("/")[0] + "/" + connection.settings_dict["NAME"]
    return os.environ | {
        "DATABASE_URL": database + server[1] + server[2],
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "LOG_LEVEL": "ERROR",
    }
