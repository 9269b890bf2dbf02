from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Every process that sends a task, in any thread, sends it to our broker."""
        from config import checks  # noqa: F401  importing it registers them
        from config.celery import app

        app.set_default()
