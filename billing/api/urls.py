"""`/api/v1/billing/…`."""

from django.urls import path

from billing.api import owner_verbs, packs, views

app_name = "billing-api"

urlpatterns = [
    path("plans", views.Plans.as_view(), name="plans"),
    path("checkout", views.Checkout.as_view(), name="checkout"),
    path("preview", owner_verbs.Preview.as_view(), name="preview"),
    path("change", owner_verbs.Change.as_view(), name="change"),
    path("cancel", owner_verbs.Cancel.as_view(), name="cancel"),
    path("keep", owner_verbs.Keep.as_view(), name="keep"),
    path("promo", owner_verbs.Promo.as_view(), name="promo"),
    path("packs", packs.Packs.as_view(), name="packs"),
    path("credits", packs.Credits.as_view(), name="credits"),
    path("trial", owner_verbs.Trial.as_view(), name="trial"),
    path("sync", owner_verbs.Sync.as_view(), name="sync"),
    path("portal", views.Portal.as_view(), name="portal"),
    path("invoices", views.Invoices.as_view(), name="invoices"),
]
