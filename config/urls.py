"""Includes only: each app names its own URLs."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

from config import health, metrics, views
from quotas.views import why

handler400 = "config.error_pages.bad_request"
handler403 = "config.error_pages.forbidden"
handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("billing.webhook_urls")),
    path("api/", include("config.api_urls")),
    path("accounts/", include("allauth.urls")),
    path(
        "admin/why/<uuid:organization>/",
        admin.site.admin_view(why.staff_page),
        name="staff-why",
    ),
    path("admin/", admin.site.urls),
    path("", views.home, name="home"),
    path("preferences/language/", set_language, name="set_language"),
    path("preferences/theme/", views.set_theme, name="set-theme"),
    path("", include("billing.urls")),
    path("", include("quotas.urls")),
    path("", include("orgs.urls")),
]
