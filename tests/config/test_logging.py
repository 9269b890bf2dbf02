"""One configuration of the logs, in whichever process the lines are written."""

import logging

from celery.app.log import Logging

from config.celery import app


def test_a_worker_writes_what_log_level_says_whatever_its_command_line_says(monkeypatch):
    """Celery's own setup, which a worker and beat run once when they start."""
    monkeypatch.setattr(Logging, "_setup", False)
    root = logging.getLogger()
    before = (root.level, root.handlers[:])

    app.log.setup(loglevel=logging.CRITICAL)

    assert (root.level, root.handlers) == before
