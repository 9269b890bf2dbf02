import os

import structlog
from django.apps import AppConfig

logger = structlog.get_logger(__name__)


class ConfigConfig(AppConfig):
    name = "config"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Every process sends its tasks to our broker, and speaks the catalogue's words."""
        from config import checks, words  # noqa: F401  importing the checks registers them
        from config.celery import app

        app.set_default()
        words.adopt()
        if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            _trace()


def _trace() -> None:
    """Without the packages there are no traces, and everything else goes on."""
    try:
        from config import tracing
    except ModuleNotFoundError as missing:
        logger.error("tracing.not_installed", lacks=missing.name, needs="requirements/otel.txt")  # noqa: TRY400
    else:
        tracing.start()
