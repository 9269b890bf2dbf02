"""Pages of one organization's money. Fragments have URLs of their own."""

from django.urls import path

from billing.views import (
    cancel,
    change,
    checkout,
    details,
    extras,
    invoices,
    packs,
    page,
    portal,
    pricing,
)

app_name = "billing"

urlpatterns = [
    path("settings/billing/", page.current, name="current"),
    path("o/<slug:slug>/settings/billing/", page.page, name="settings"),
    path("o/<slug:slug>/settings/pricing/", pricing.page, name="pricing"),
    path("o/<slug:slug>/settings/billing/plans/", page.plans, name="plans"),
    path("o/<slug:slug>/settings/billing/checkout/", checkout.start, name="checkout"),
    path("o/<slug:slug>/settings/billing/change/", change.change, name="change"),
    path("o/<slug:slug>/settings/billing/keep/", change.keep, name="keep"),
    path("o/<slug:slug>/settings/billing/cancel/", cancel.cancel, name="cancel"),
    path("o/<slug:slug>/settings/billing/promo/", extras.promo, name="promo"),
    path("o/<slug:slug>/settings/billing/credits/", packs.buy, name="credits"),
    path("o/<slug:slug>/settings/billing/credits/return/", packs.returned, name="credits-return"),
    path("o/<slug:slug>/settings/billing/trial/", extras.trial, name="trial"),
    path("o/<slug:slug>/settings/billing/notify-owner/", extras.notify_owner, name="notify-owner"),
    path("o/<slug:slug>/settings/billing/portal/", portal.enter, name="portal"),
    path("o/<slug:slug>/settings/billing/email/", details.change_email, name="email"),
    path("o/<slug:slug>/settings/billing/sync/", details.sync, name="sync"),
    path("o/<slug:slug>/settings/billing/resume/", details.resume, name="resume"),
    path("o/<slug:slug>/settings/billing/return/", checkout.returned, name="return"),
    path("o/<slug:slug>/settings/billing/return/state/", checkout.state, name="return-state"),
    path("o/<slug:slug>/settings/billing/invoices.csv", invoices.csv, name="invoices-csv"),
]
