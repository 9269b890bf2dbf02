"""`GET /api/v1/billing/status`: composed here, so that billing need not know quotas (DESIGN 5)."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import catalog, ports
from billing.entitlement import next_action, store
from billing.models import Access, BillingAccount, EffectivePlan, Source
from orgs import capabilities, current
from orgs.capabilities import Capability
from orgs.models import Membership, Organization, User
from orgs.permissions import capability

_STORAGE = "storage"


class StatusResponse(serializers.Serializer[Any]):
    """Stripe's ids are there for billing roles alone."""

    organization = serializers.CharField()
    tier = serializers.CharField()
    status = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # the contract's own name
    is_beta = serializers.BooleanField()
    storage_used_bytes = serializers.IntegerField()
    storage_limit_bytes = serializers.IntegerField(allow_null=True)
    has_subscription = serializers.BooleanField()
    has_personal_subscription = serializers.BooleanField()
    is_org_member = serializers.BooleanField()
    org_role = serializers.CharField(allow_null=True)
    current_period_end = serializers.DateTimeField(allow_null=True)
    plan_active = serializers.BooleanField()
    plan_expires = serializers.DateTimeField(allow_null=True)
    grace_ends_at = serializers.DateTimeField(allow_null=True)
    access = serializers.CharField()
    next_action = serializers.CharField(allow_null=True)
    stripe_customer_id = serializers.CharField(required=False, allow_null=True)
    subscription_id = serializers.CharField(required=False, allow_null=True)
    price_id = serializers.CharField(required=False, allow_null=True)


class Status(APIView):
    """Which plan applies now, and what one may do about it."""

    permission_classes = [capability(Capability.STATUS_VIEW)]

    @extend_schema(responses=StatusResponse)
    def get(self, request: Request) -> Response:
        membership = current.membership_for(request)
        effective = store.current(membership.organization)
        body = _plan(effective) | _storage(effective) | _person(request.user, membership)
        if Capability.BILLING_VIEW in capabilities.of(membership):
            body |= _stripe_ids(effective)
        return Response(body)


def _plan(effective: EffectivePlan) -> dict[str, Any]:
    statuses = catalog.current().statuses
    subscribed = effective.organization.subscriptions.standing().exists()
    from_stripe = effective.source == Source.STRIPE
    return {
        "organization": effective.organization.slug,
        "tier": effective.plan.key,
        "status": statuses.word(effective.status if from_stripe or subscribed else None)
        if effective.source in {Source.STRIPE, Source.DEFAULT}
        else effective.status,
        "source": effective.source,
        "is_beta": effective.is_beta,
        "has_subscription": subscribed,
        "current_period_end": effective.period_end,
        "plan_active": effective.access != Access.READ_ONLY
        and (not from_stripe or statuses.rule(effective.status).active),
        "plan_expires": effective.ends_at,
        "grace_ends_at": effective.grace_ends_at,
        "access": effective.access,
        "next_action": next_action.of(effective),
    }


def _storage(effective: EffectivePlan) -> dict[str, Any]:
    limit = effective.plan.limits.filter(meter=_STORAGE).first()
    amount = limit.amount if limit is not None else None
    if limit is not None and amount is not None and limit.per == "seat":
        amount *= effective.seats
    return {
        "storage_used_bytes": ports.usage().used(effective.organization, _STORAGE),
        "storage_limit_bytes": amount,
    }


def _person(user: Any, membership: Membership) -> dict[str, Any]:
    team = membership.organization.kind == Organization.Kind.TEAM
    return {
        "is_org_member": team,
        "org_role": membership.role if team else None,
        "has_personal_subscription": _pays_personally(user),
    }


def _pays_personally(user: User) -> bool:
    personal = Organization.objects.of_member(user).filter(kind=Organization.Kind.PERSONAL)
    return any(found.subscriptions.standing().exists() for found in personal)


def _stripe_ids(effective: EffectivePlan) -> dict[str, Any]:
    account = BillingAccount.objects.filter(organization=effective.organization).first()
    return {
        "stripe_customer_id": account.stripe_customer_id if account else None,
        "subscription_id": effective.subscription_id or None,
        "price_id": effective.price_id or None,
    }
