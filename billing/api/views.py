"""Billing's API for owners and their scripts (DESIGN, HTTP contract)."""

from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import catalog
from billing.api.permissions import MayOrder
from billing.api.persons import person_of
from billing.api.serializers import (
    CheckoutRequest,
    CheckoutResponse,
    InvoiceResponse,
    InvoicesResponse,
    PlanResponse,
    PlansResponse,
    PortalRequest,
    PortalResponse,
)
from billing.models import PlanPrice, SubscriptionPlan
from billing.subscription import checkout, portal
from orgs import current
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked
from orgs.permissions import capability

_PAGE = 100


@open_when_locked
class Checkout(APIView):
    """Opens a hosted Checkout page for a plan. The same wish twice gives the same page."""

    permission_classes = [MayOrder]

    @extend_schema(request=CheckoutRequest, responses=CheckoutResponse)
    def post(self, request: Request) -> Response:
        body = CheckoutRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization = current.organization_for(request)
        order = body.order(currency=checkout.usual_currency(organization))
        intent = checkout.start(organization, person_of(request), order)
        return Response({"checkout_url": intent.url})


class Portal(APIView):
    """Opens Stripe's customer portal; its URL is good once and must not be kept."""

    permission_classes = [IsAuthenticated]

    @extend_schema(request=PortalRequest, responses=PortalResponse)
    def post(self, request: Request) -> Response:
        body = PortalRequest(data=request.data)
        body.is_valid(raise_exception=True)
        wish: dict[str, Any] = body.validated_data
        organization = portal.organization_of_scope(
            person_of(request), current.membership_for(request), wish["scope"]
        )
        url = portal.open_portal(organization, person_of(request), flow=wish.get("flow"))
        return Response({"portal_url": url}, headers={"Cache-Control": "no-store"})


class Plans(APIView):
    """What is on sale: plans with prices in minor units, limits and features."""

    permission_classes = [IsAuthenticated]

    @extend_schema(responses=PlansResponse)
    def get(self, request: Request) -> Response:
        current_catalog = catalog.current()
        plans = (
            SubscriptionPlan.objects.of_catalog(current_catalog.key)
            .on_sale()
            .in_order()
            .prefetch_related(
                "limits",
                Prefetch("prices", queryset=PlanPrice.objects.on_sale(), to_attr="on_sale_prices"),
            )
        )
        context = {"sales_contact": current_catalog.contacts.sales}
        return Response({"plans": PlanResponse(plans, many=True, context=context).data})


class Invoices(APIView):
    """The newest 100 invoices, or those before `before` (an invoice id)."""

    permission_classes = [capability(Capability.BILLING_VIEW)]

    @extend_schema(
        parameters=[OpenApiParameter("before", str, description="An invoice of the page before.")],
        responses=InvoicesResponse,
    )
    def get(self, request: Request) -> Response:
        organization = current.organization_for(request)
        rows = organization.invoices.issued().newest_first()
        before = organization.invoices.filter(stripe_id=request.GET.get("before", "")).first()
        if before is not None:
            rows = rows.filter(created_at__lt=before.created_at)
        found = list(rows[: _PAGE + 1])
        return Response(
            {
                "invoices": InvoiceResponse(found[:_PAGE], many=True).data,
                "has_more": len(found) > _PAGE,
            }
        )
