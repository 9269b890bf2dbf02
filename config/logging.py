"""Structured logs: JSON lines in production, colours on a developer's terminal.

Secrets never reach a log line: what looks like a Stripe key, a webhook secret or a token of ours is
cut to its prefix before rendering (A35, E10, E28).
"""

import sys
from collections.abc import MutableMapping
from types import NoneType
from typing import Any

import structlog

from billing.redaction import redact


def redact_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Whatever is no plain value is written as its `repr`, and a request's shows its path."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
        elif not key.startswith("_") and not isinstance(value, (int, float, NoneType)):
            event[key] = redact(repr(value))
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    redact_event,
]


def configure(*, level: str, fmt: str) -> dict[str, Any]:
    """Django's LOGGING setting; also configures structlog, which shares the same processors."""
    structlog.configure(
        processors=[*_SHARED[:-1], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    redact_event,
                    renderer,
                ],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["console"], "propagate": False},
            "stripe": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            # Their lines about each task are django-structlog's, once more and without structure.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
        },
    }
