"""Every API path. Those under `subscriptions/` are document 004's own and work as written."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from billing.api.owner_verbs import Upgrade
from config.status import Status
from quotas.api.organization_views import MyUsage

urlpatterns = [
    path("v1/billing/status", Status.as_view(), name="billing-status"),
    path("v1/billing/", include("billing.api.urls")),
    path("v1/", include("orgs.api.urls")),
    path("v1/", include("quotas.api.urls")),
    path("subscriptions/usage", MyUsage.as_view(), name="subscriptions-usage"),
    path("subscriptions/upgrade", Upgrade.as_view(), name="subscriptions-upgrade"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs/",
        # OPTIONS would be rendered by a template that it has none of.
        SpectacularSwaggerSplitView.as_view(url_name="schema", http_method_names=["get", "head"]),
        name="docs",
    ),
]
