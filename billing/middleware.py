"""The lock, for pages: what writes to a read-only organization gets 403 and one way out.

Calls of the API name their organization in the body: there the permission asks the gate.
"""

from collections.abc import Callable
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.entitlement import access
from billing.entitlement.facts import CatalogueNotApplied
from billing.exceptions import AccountLocked, BillingError, PaymentRequired
from billing.presentation import banner
from orgs.capabilities import Capability
from orgs.decorators import is_open_when_locked
from orgs.models import Organization
from orgs.requests import OrgRequest

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class LockMiddleware:
    """Reading always stays open, and so does every view marked `open_when_locked`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponse],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> HttpResponse | None:
        organization = getattr(request, "organization", None)
        if request.method in _SAFE_METHODS or not isinstance(organization, Organization):
            return None
        refusal = _refusal(organization, view)
        return None if refusal is None else _page(cast(OrgRequest, request), refusal)


def _refusal(organization: Organization, view: object) -> BillingError | None:
    try:
        if access.is_paid_action(view):
            access.check_paid_action(organization)
        elif not is_open_when_locked(view):
            access.check_write(organization)
    except (AccountLocked, PaymentRequired) as refusal:
        return refusal
    except CatalogueNotApplied:
        return None
    return None


def _page(request: OrgRequest, refusal: BillingError) -> HttpResponse:
    reader = banner.Reader(
        can_pay=Capability.BILLING_MANAGE in request.capabilities, is_staff=request.user.is_staff
    )
    with timezone.override(request.organization.time_zone):
        context = {
            "sentence": str(refusal),
            "code": refusal.code,
            "actions": banner.ways_out(request.organization, reader),
        }
    return render(request, "billing/locked.html", context, status=refusal.status)
