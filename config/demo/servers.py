"""The demo's child processes: simulator, web, worker, beat."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

from config.demo.environment import DemoEnvironment
from config.embedded.processes import port_is_free
from config.supervisor import Program, Supervisor

BIN = Path(sys.executable).parent
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def refuse_taken_ports(demo: DemoEnvironment) -> None:
    """Exits with the variable to set: a server that found its port taken says less."""
    ports = {"PORT": demo.port}
    if demo.simulator_url:
        ports["SIMULATOR_PORT"] = demo.simulator_port
    for name, port in ports.items():
        if not port_is_free(port):
            sys.exit(f"Port {port} is in use. Choose another: make demo {name}={port + 100}")


def start_simulator(supervisor: Supervisor, demo: DemoEnvironment) -> None:
    options = ["--port", str(demo.simulator_port), "--state", str(demo.simulator_state)]
    supervisor.start(
        Program(
            name="simulator",
            command=[sys.executable, "-m", "tests.stripe_simulator", *options],
        )
    )
    supervisor.wait_until(
        lambda: answers(f"{demo.simulator_url}/_sim/events"), what="The simulator", seconds=30
    )


def start_web(supervisor: Supervisor, demo: DemoEnvironment) -> None:
    options = ["--host", "127.0.0.1", "--port", str(demo.port), "--interface", "wsgi", "--no-ws"]
    size = ["--workers", "1", "--blocking-threads", "8"]
    supervisor.start(
        Program(
            name="web",
            command=[str(BIN / "granian"), *options, *size, "config.wsgi:application"],
        )
    )


def start_celery(supervisor: Supervisor, demo: DemoEnvironment) -> None:
    celery = [sys.executable, "-m", "celery", "--app", "config.celery:app"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    schedule = demo.var / "demo" / "beat-schedule"
    supervisor.start(
        Program(name="worker", command=[*celery, "worker", "--concurrency", "2", *quiet])
    )
    supervisor.start(
        Program(name="beat", command=[*celery, "beat", "--schedule", str(schedule), "--pidfile="])
    )


def wait_for_web(supervisor: Supervisor, demo: DemoEnvironment) -> None:
    supervisor.wait_until(lambda: answers(f"{demo.base_url}/healthz"), what="The web", seconds=60)


def answers(url: str) -> bool:
    """True for any answer below 400 within two seconds."""
    try:
        with NO_PROXY.open(url, timeout=2) as response:
            return bool(response.status < 400)  # noqa: PLR2004
    except (OSError, urllib.error.URLError):
        return False
