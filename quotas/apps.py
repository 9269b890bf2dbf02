from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from billing import ports
        from orgs.ports import bind_seats
        from quotas import audit_names, erasure, owned_data, retention
        from quotas.engine.install import install
        from quotas.notices import receivers as notices  # noqa: F401
        from quotas.port import Usage
        from quotas.reaction import alerts, purchases, receivers  # noqa: F401  importing them connects them
        from quotas.seats import PlanSeats

        post_migrate.connect(install, sender=self)
        audit_names.register()
        erasure.register_steps()
        owned_data.register_tables()
        retention.register()
        ports.bind_usage(Usage())
        bind_seats(PlanSeats())
