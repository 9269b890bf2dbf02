"""The demo's child processes: simulator, web, worker, beat."""

import os
import sys
from pathlib import Path

from config.demo.environment import DemoEnvironment
from config.demo.http import answers, delete, read
from config.supervisor import Program, Supervisor

BIN = Path(sys.executable).parent


def start_simulator(supervisor: Supervisor, demo: DemoEnvironment) -> None:
    demo.simulator_state.mkdir(parents=True, exist_ok=True)
    options = ["--port", str(demo.simulator_port), "--state", str(demo.simulator_state)]
    webhook = ["--webhook-url", demo.webhook_url]
    secret = ["--webhook-secret", os.environ["STRIPE_WEBHOOK_SECRET"]]
    command = [sys.executable, "-m", "tests.stripe_simulator", *options, *webhook, *secret]
    supervisor.start(Program(name="simulator", command=command))
    health = f"{demo.simulator_url}/_sim/health"
    supervisor.wait_until(lambda: answers(health), what="The simulator", seconds=30)
    _forget_former_addresses(demo)


def start_web(supervisor: Supervisor, demo: DemoEnvironment) -> None:
    options = ["--host", "127.0.0.1", "--port", str(demo.port), "--interface", "rsgi", "--no-ws"]
    size = ["--workers", "1"]
    supervisor.start(
        Program(
            name="web",
            command=[str(BIN / "granian"), *options, *size, "config.rsgi:application"],
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


def _forget_former_addresses(demo: DemoEnvironment) -> None:
    """A start with another PORT: nobody answers any more where events went before."""
    key = os.environ["STRIPE_SECRET_KEY"]
    endpoints = f"{demo.simulator_url}/v1/webhook_endpoints"
    for endpoint in read(endpoints, token=key)["data"]:
        if endpoint["url"] != demo.webhook_url:
            delete(f"{endpoints}/{endpoint['id']}", token=key)
