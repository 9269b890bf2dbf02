from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Every process sends its tasks to our broker, and speaks the catalogue's words."""
        from config import checks, words  # noqa: F401  importing the checks registers them
        from config.celery import app

        app.set_default()
        words.adopt()
