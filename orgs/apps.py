from django.apps import AppConfig
from django.contrib.admin import apps as admin


class OrgsConfig(AppConfig):
    name = "orgs"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orgs import checks, erasure, openapi, receivers  # noqa: F401  importing them registers them
        from orgs.owned_data import people

        people.register_tables()
        erasure.register_steps()


class StaffAdminConfig(admin.AdminConfig):
    """Django's admin, behind our own login and a second factor."""

    default = False
    default_site = "orgs.staff_site.StaffSite"
