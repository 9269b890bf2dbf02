"""The programs of docs/tutorial.md, saved to a folder as a reader would, and what they print."""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import processes
from tests.stripe_simulator.process import free_port

ROOT = Path(__file__).resolve().parents[2]
_PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
_PROGRAM = re.compile(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)
_PRINTED = re.compile(r"^ *```text\n(.*?)^ *```", re.DOTALL | re.MULTILINE)

PRINTED = [block.strip().splitlines() for block in _PRINTED.findall(_PAGE)]


class Folder:
    def __init__(self, path: Path, url: str, token: str) -> None:
        self.path = path
        self.port = free_port()
        for name, source in _PROGRAM.findall(_PAGE):
            path.joinpath(name).write_text(source.replace("9000", str(self.port)))
        shutil.copy(ROOT / "quotas" / "client.py", path)
        path.joinpath("demo.json").write_text(json.dumps({"base_url": url, "service_token": token}))

    def run(self, program: str) -> list[str]:
        found = subprocess.run(
            [sys.executable, program],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return found.stdout.splitlines()

    @contextmanager
    def serving(self, program: str) -> Iterator[None]:
        with self.path.joinpath("log").open("wb") as log:
            served = subprocess.Popen([sys.executable, program], cwd=self.path, stderr=log)
        try:
            processes.wait_until(self._listens, seconds=20)
            yield
        finally:
            served.terminate()
            served.wait(20)

    def ask(self, lines: int) -> list[str]:
        """As `seq 400 | curl --data-binary @-` does."""
        body = "".join(f"{n}\n" for n in range(1, lines + 1)).encode()
        url = f"http://127.0.0.1:{self.port}"
        try:
            with urllib.request.urlopen(url, body, timeout=60) as answer:
                return str(answer.read().decode()).splitlines()
        except urllib.error.HTTPError as refused:
            return refused.read().decode().splitlines()

    def _listens(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}", timeout=5).close()
        except urllib.error.HTTPError:
            return True  # it knows POST alone
        except OSError:
            return False
        return True
