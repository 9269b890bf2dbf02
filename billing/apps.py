from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Binds what other rooms send or ask: receivers, mails, roles of the catalogue."""
        from billing import tasks
        from billing.catalog import checks, roles
        from billing.gateway import mirror
        from billing.messages import emails
        from billing.subscription import receivers

        self.listeners = (tasks, checks, emails, receivers)
        mirror.prepare()
        roles.bind()
