from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from billing import ports
        from orgs.ports import bind_seats
        from quotas.port import Usage
        from quotas.reaction import alerts, receivers  # noqa: F401  importing them connects them
        from quotas.seats import PlanSeats

        ports.bind_usage(Usage())
        bind_seats(PlanSeats())
