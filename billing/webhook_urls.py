"""Where Stripe posts to: our own path and document 004's."""

from django.urls import path

from billing.gateway.webhooks import inbox

urlpatterns = [
    path("webhooks/stripe", inbox.receive, name="stripe-webhook"),
    path("api/subscriptions/webhook", inbox.receive, name="subscriptions-webhook"),
]
