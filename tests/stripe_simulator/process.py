"""Starts the simulator as a child process and waits until it answers."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stripe_simulator.client import SimulatorClient

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 180.0  # a busy machine


@contextmanager
def start(
    port: int | None = None,
    state_dir: Path | None = None,
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    *,
    strict: bool = True,
) -> Iterator[SimulatorClient]:
    """A running simulator, stopped at the end; its client knows the address."""
    port = port or free_port()
    process = launch(port, state_dir, webhook_url, webhook_secret, strict=strict)
    try:
        client = SimulatorClient(f"http://127.0.0.1:{port}")
        wait_until_ready(client, process)
        yield client
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def launch(
    port: int,
    state_dir: Path | None = None,
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    *,
    strict: bool = True,
) -> subprocess.Popen[bytes]:
    """The bare child process, for a supervisor that waits and stops by itself."""
    command = [sys.executable, "-m", "tests.stripe_simulator", "--port", str(port)]
    if state_dir:
        command += ["--state", str(state_dir)]
    if webhook_url:
        command += ["--webhook-url", webhook_url]
    if webhook_secret:
        command += ["--webhook-secret", webhook_secret]
    if not strict:
        command.append("--no-strict")
    return subprocess.Popen(command, cwd=ROOT)


def wait_until_ready(
    client: SimulatorClient, process: subprocess.Popen[bytes] | None = None
) -> None:
    """Raises RuntimeError when the child dies or stays silent."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the Stripe simulator ended with code {process.returncode}")
        if client.is_ready():
            return
        time.sleep(0.05)
    raise RuntimeError(f"the Stripe simulator did not answer within {START_LIMIT:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
