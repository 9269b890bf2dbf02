"""The usage calls, under `api/v1/`."""

from django.urls import path

from quotas.api import organization_views, views

urlpatterns = [
    path("usage/check", views.Check.as_view(), name="usage-check"),
    path("usage/authorize", views.Authorize.as_view(), name="usage-authorize"),
    path("usage/consume", views.Consume.as_view(), name="usage-consume"),
    path("usage/record", views.Record.as_view(), name="usage-record"),
    path("usage/release", views.Release.as_view(), name="usage-release"),
    path("usage/level", views.Level.as_view(), name="usage-level"),
    path("usage/reservations", views.Reservations.as_view(), name="usage-reservations"),
    path(
        "usage/reservations/<str:reservation>/commit", views.Commit.as_view(), name="usage-commit"
    ),
    path("usage/reservations/<str:reservation>/void", views.Void.as_view(), name="usage-void"),
    path("usage/batch", views.Batch.as_view(), name="usage-batch"),
    path(
        "organizations/<str:organization>/entitlements",
        organization_views.Entitlements.as_view(),
        name="organization-entitlements",
    ),
    path(
        "organizations/<str:organization>/features/<str:feature>",
        organization_views.Feature.as_view(),
        name="organization-feature",
    ),
    path(
        "organizations/<str:organization>/usage",
        organization_views.OrganizationUsage.as_view(),
        name="organization-usage",
    ),
]
