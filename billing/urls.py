"""Pages of one organization's money. Fragments have URLs of their own."""

from django.urls import path

from billing.views import checkout, invoices, page, portal

app_name = "billing"

urlpatterns = [
    path("settings/billing/", page.current, name="current"),
    path("o/<slug:slug>/settings/billing/", page.page, name="settings"),
    path("o/<slug:slug>/settings/billing/plans/", page.plans, name="plans"),
    path("o/<slug:slug>/settings/billing/checkout/", checkout.start, name="checkout"),
    path("o/<slug:slug>/settings/billing/portal/", portal.enter, name="portal"),
    path("o/<slug:slug>/settings/billing/return/", checkout.returned, name="return"),
    path("o/<slug:slug>/settings/billing/return/state/", checkout.state, name="return-state"),
    path("o/<slug:slug>/settings/billing/invoices.csv", invoices.csv, name="invoices-csv"),
]
