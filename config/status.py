"""`GET /api/v1/billing/status`: composed here, so that billing need not know quotas (DESIGN 5)."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import catalog, ports
from billing.entitlement import next_action, store
from billing.models import Access, BillingAccount, EffectivePlan, Source, Subscription
from orgs import capabilities, current
from orgs.capabilities import Capability
from orgs.models import Membership, Organization, User
from orgs.permissions import capability
from quotas.models import UsageLimit

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
    subscription_active = serializers.BooleanField()
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
    subscription = _subscription_of(effective)
    return {
        "organization": effective.organization.slug,
        "tier": effective.plan.key,
        "status": _status(effective, subscription),
        "source": effective.source,
        "is_beta": effective.is_beta,
        "has_subscription": effective.organization.subscriptions.standing().exists(),
        "current_period_end": effective.period_end,
        "subscription_active": subscription is not None and _counts(subscription.status),
        "plan_active": _is_active(effective, subscription),
        "plan_expires": _expires_at(effective),
        "grace_ends_at": effective.grace_ends_at,
        "access": effective.access,
        "next_action": next_action.of(effective),
    }


def _subscription_of(effective: EffectivePlan) -> Subscription | None:
    """The one that gives the plan, else one that stands, else one whose first payment is open."""
    live = list(effective.organization.subscriptions.live().order_by("created_at", "stripe_id"))
    ranked = sorted(
        live,
        key=lambda found: (
            found.stripe_id != effective.subscription_id,
            found.status == "incomplete",
        ),
    )
    return next(iter(ranked), None)


def _status(effective: EffectivePlan, subscription: Subscription | None) -> str:
    """The catalogue's word for Stripe's status; a given plan has no subscription behind it."""
    if effective.source not in {Source.STRIPE, Source.DEFAULT}:
        return str(effective.status)
    statuses = catalog.current().statuses
    ending = effective.source == Source.STRIPE and effective.ends_at is not None
    return statuses.word(subscription.status if subscription else None, ending=ending)


def _counts(status: str) -> bool:
    return bool(catalog.current().statuses.rule(status).active)


def _is_active(effective: EffectivePlan, subscription: Subscription | None) -> bool:
    """A word of the catalogue's that grants nothing: a status may count before it pays."""
    if effective.access == Access.READ_ONLY:
        return False
    if effective.source == Source.STRIPE:
        return _counts(effective.status)
    if effective.source != Source.DEFAULT or catalog.current().statuses.default_plan_active:
        return True
    return (
        subscription is not None and subscription.status == "incomplete" and _counts("incomplete")
    )


def _expires_at(effective: EffectivePlan) -> datetime | None:
    """When the plan ends by a decision taken, or by a debt where grace ends with the plan."""
    if effective.ends_at is None and catalog.current().dunning.at_end == "downgrade":
        return effective.grace_ends_at
    return effective.ends_at


def _storage(effective: EffectivePlan) -> dict[str, Any]:
    """The limit as decisions see it: contracts, packs and beta are in it."""
    limit = UsageLimit.objects.filter(organization=effective.organization, meter=_STORAGE).first()
    return {
        "storage_used_bytes": ports.usage().used(effective.organization, _STORAGE),
        "storage_limit_bytes": limit.amount if limit is not None else None,
    }


def _person(user: Any, membership: Membership) -> dict[str, Any]:
    """Whoever looks at their personal organization is a member of a team all the same."""
    team = membership if _is_of_team(membership) else _first_team(user)
    return {
        "is_org_member": team is not None,
        "org_role": team.role if team is not None else None,
        "has_personal_subscription": _pays_personally(user),
    }


def _is_of_team(membership: Membership) -> bool:
    return bool(membership.organization.kind == Organization.Kind.TEAM)


def _first_team(user: User) -> Membership | None:
    teams = current.open_memberships(user).filter(organization__kind=Organization.Kind.TEAM)
    return teams.order_by("joined_at", "pk").first()


def _pays_personally(user: User) -> bool:
    personal = Organization.objects.of_member(user).filter(kind=Organization.Kind.PERSONAL)
    return any(found.subscriptions.standing().exists() for found in personal)


def _stripe_ids(effective: EffectivePlan) -> dict[str, Any]:
    account = BillingAccount.objects.filter(organization=effective.organization).first()
    subscription = _subscription_of(effective)
    return {
        "stripe_customer_id": account.stripe_customer_id if account else None,
        "subscription_id": subscription.stripe_id if subscription else None,
        "price_id": (subscription.price_id if subscription else "") or None,
    }
