from django.apps import AppConfig
from django.contrib.admin import apps as admin


class OrgsConfig(AppConfig):
    name = "orgs"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orgs import checks, openapi, receivers  # noqa: F401  importing them registers them


class StaffAdminConfig(admin.AdminConfig):
    """Django's admin, behind our own login and a second factor."""

    default = False
    default_site = "orgs.staff_site.StaffSite"
