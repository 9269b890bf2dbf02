"""`/api/v1/billing/…`."""

from django.urls import path

from billing.api import views

app_name = "billing-api"

urlpatterns = [
    path("plans", views.Plans.as_view(), name="plans"),
    path("checkout", views.Checkout.as_view(), name="checkout"),
    path("portal", views.Portal.as_view(), name="portal"),
    path("invoices", views.Invoices.as_view(), name="invoices"),
]
