"""The Celery application. Tasks live in each app's `tasks.py`; periods in `config/schedule.py`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from config.schedule import SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("ledgerline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = SCHEDULE
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_alone(**_kwargs: Any) -> None:
    """Celery would give the root logger the level of its command line, whatever LOG_LEVEL says."""
