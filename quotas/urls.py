"""Pages about usage. Fragments have URLs of their own."""

from django.urls import path

from quotas.views import controls, usage, why

app_name = "quotas"
urlpatterns = [
    path("o/<slug:slug>/settings/billing/why/", why.page, name="why"),
    path("o/<slug:slug>/settings/usage/", usage.page, name="usage"),
    path("o/<slug:slug>/settings/usage/meters/", usage.meters, name="usage-meters"),
    path("o/<slug:slug>/settings/usage/overage/", controls.overage, name="usage-overage"),
    path("o/<slug:slug>/settings/usage/alerts/", controls.notify, name="usage-alerts"),
    path("o/<slug:slug>/settings/usage.csv", usage.download, name="usage-csv"),
]
