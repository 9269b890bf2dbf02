from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Binds what other rooms send or ask: receivers, mails, roles, the lock."""
        from billing import owned_data, retention, tasks
        from billing.catalog import checks, roles
        from billing.entitlement import gate
        from billing.gateway import mirror
        from billing.messages import audit_names, emails, letters, transitions
        from billing.subscription import leaving, receivers
        from orgs import messages, ports

        self.listeners = (tasks, checks, emails, letters, receivers, transitions)
        ports.bind_gate(gate.Gate())
        messages.bind_post_office(letters.post)
        audit_names.register()
        owned_data.register_tables()
        retention.register()
        leaving.register()
        mirror.prepare()
        roles.bind()
