"""The banner of every page inside an organization."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from billing.entitlement import store
from billing.presentation import banner as banners
from orgs.capabilities import Capability
from orgs.models import Membership
from orgs.requests import OrgRequest


def banner(request: HttpRequest) -> dict[str, Any]:
    """Lazy: fragments and JSON answers, which show no banner, pay no query for it."""
    membership: Membership | None = getattr(request, "membership", None)
    if membership is None:
        return {"banner": None}
    return {"banner": SimpleLazyObject(lambda: _of(request))}  # type: ignore[arg-type]


def _of(request: OrgRequest) -> banners.Banner | None:
    organization = request.organization
    reader = banners.Reader(
        can_pay=Capability.BILLING_MANAGE in request.capabilities,
        is_staff=request.user.is_staff,
    )
    with timezone.override(organization.time_zone):
        return banners.for_reader(store.current(organization), reader)
