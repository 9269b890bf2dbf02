"""`make demo`: everything on one machine, with sample organizations, until Ctrl-C."""

import io
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections
from rich.markup import escape

from config import messages
from config.demo import environment, sample_data, servers, summary
from config.demo.environment import DemoEnvironment
from config.demo.progress import Progress
from config.embedded import BASE_DIR
from config.supervisor import NotReadyError, ProgramEndedError, Supervisor


class StopRequestedError(Exception):
    """Ctrl-C, TERM or a closed terminal."""


class Command(BaseCommand):
    help = "Runs the whole system with sample organizations; Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        demo = environment.read()
        progress = Progress()
        with demo.lock():
            _log_to(demo.logs / "demo.log")
            supervisor = Supervisor(BASE_DIR, demo.logs)
            with _stopping(supervisor, progress):
                _start(demo, supervisor, progress)
                summary.show(demo, progress)
                supervisor.watch()


def _start(demo: DemoEnvironment, supervisor: Supervisor, progress: Progress) -> None:
    messages.compile_stale()
    with progress.step("Tables"):
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
    if demo.simulator_url:
        with progress.step("Stripe simulator"):
            servers.start_simulator(supervisor, demo)
    with progress.step("Catalogue"):
        call_command("catalog", "apply", "--yes", "--json", stdout=io.StringIO())
    connections.close_all()
    with progress.step("Web, worker and beat"):
        servers.start_web(supervisor, demo)
        servers.start_celery(supervisor, demo)
        servers.wait_for_web(supervisor, demo)
    if not sample_data.is_complete(demo):
        with progress.step("Sample organizations"):
            sample_data.create(demo, supervisor)
    summary.write(demo)


def _log_to(file: Path) -> None:
    """Like the children's: the screen belongs to the progress."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(file.open("w"))


@contextmanager
def _stopping(supervisor: Supervisor, progress: Progress) -> Iterator[None]:
    """Whatever ends the block, no child outlives it; a second Ctrl-C kills."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _request_stop)
    try:
        yield
    except StopRequestedError:
        progress.console.print("Stopping …")
    except (ProgramEndedError, NotReadyError) as error:
        progress.console.print(f"[red]✗[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: supervisor.kill_all())
        supervisor.stop_all()


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    raise StopRequestedError
