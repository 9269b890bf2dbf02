"""What an organization may use and has used: for satellites, and for its own people."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import catalog
from billing.entitlement import history, next_action, store
from billing.entitlement.clock import database_now, now_for
from billing.entitlement.facts import CatalogueNotApplied
from billing.models import EffectivePlan, EffectivePlanChange
from billing.presentation import why
from orgs import current
from orgs.capabilities import Capability
from orgs.exceptions import OrganizationNotFound
from orgs.models import Organization
from orgs.permissions import capability
from quotas.api import bodies, naming
from quotas.api.schemas import Problem
from quotas.api.views import SatelliteView, bearer_of
from quotas.decorators import require_feature
from quotas.engine import asking
from quotas.engine.decisions import instant
from quotas.exceptions import EngineUnavailable, InvalidRequest
from quotas.reading import usage
from quotas.reading import why as meters

_NO_STORE = {"Cache-Control": "no-store"}
_PROBLEMS = {
    (401, "application/problem+json"): Problem,
    (403, "application/problem+json"): Problem,
    (404, "application/problem+json"): Problem,
    (422, "application/problem+json"): Problem,
    (503, "application/problem+json"): Problem,
}


class LimitResponse(serializers.Serializer[Any]):
    amount = serializers.IntegerField(allow_null=True)
    hard = serializers.BooleanField()
    per = serializers.CharField()


class EntitlementsResponse(serializers.Serializer[Any]):
    """`at` is the organization's own time of the answer."""

    organization = serializers.UUIDField()
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]  # the contract's own name
    status = serializers.CharField()
    access = serializers.CharField()
    is_beta = serializers.BooleanField()
    seats = serializers.IntegerField()
    features = serializers.DictField(child=serializers.CharField())
    limits = serializers.DictField(child=LimitResponse())
    next_action = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    period_start = serializers.DateTimeField(allow_null=True)
    period_end = serializers.DateTimeField(allow_null=True)
    grace_ends_at = serializers.DateTimeField(allow_null=True)
    valid_until = serializers.DateTimeField(allow_null=True)
    sequence = serializers.IntegerField()
    at = serializers.DateTimeField(allow_null=True)
    trace = serializers.ListField(child=serializers.DictField())
    # With `?at=` or `?why`: sources, features and limits in words and sums.
    why = serializers.DictField(required=False)


class FeatureResponse(serializers.Serializer[Any]):
    feature = serializers.CharField()
    allowed = serializers.BooleanField()
    plan = serializers.CharField()


class PeriodResponse(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class MeterCostResponse(serializers.Serializer[Any]):
    """Minor units of `currency`; a null cap is no cap."""

    currency = serializers.CharField()
    so_far = serializers.IntegerField()
    projected = serializers.IntegerField()
    cap = serializers.IntegerField(allow_null=True)


class CostResponse(serializers.Serializer[Any]):
    currency = serializers.CharField()
    so_far = serializers.IntegerField()
    projected = serializers.IntegerField()
    extra = serializers.IntegerField()
    extra_cap = serializers.IntegerField(allow_null=True)


class MeterUsageResponse(serializers.Serializer[Any]):
    """A null limit is unlimited; a meter that never resets has no period."""

    meter = serializers.CharField()
    kind = serializers.CharField()
    used = serializers.IntegerField()
    held = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    overage = serializers.IntegerField()
    credits = serializers.IntegerField()
    hard = serializers.BooleanField()
    per_member = serializers.BooleanField()
    period = PeriodResponse(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)
    projected = serializers.IntegerField(allow_null=True)
    limit_reached_at = serializers.DateTimeField(allow_null=True)
    cost = MeterCostResponse(allow_null=True)
    enforcement = serializers.CharField()
    when_away = serializers.ChoiceField(choices=["refuse", "spool"])


class UsageResponse(serializers.Serializer[Any]):
    organization = serializers.CharField()
    plan = serializers.CharField()
    period = PeriodResponse()
    cost = CostResponse(allow_null=True)
    meters = MeterUsageResponse(many=True)


class Entitlements(SatelliteView):
    """Plan, source, status, access, features, limits, next action and trace."""

    @extend_schema(
        parameters=[
            OpenApiParameter("at", datetime, description="An instant of the past."),
            OpenApiParameter("why", bool, description="Sources and limits in words, too."),
        ],
        responses={200: EntitlementsResponse, **_PROBLEMS},
        tags=["usage"],
    )
    def get(self, request: Request, organization: str) -> Response:
        found = _organization(request, organization)
        at = request.query_params.get("at")
        if at is None:
            effective = _current(found)
            action = next_action.of(effective)
            body = _entitlements(effective, action) | {"at": instant(effective.derived_at)}
            if "why" in request.query_params:
                body["why"] = _why(effective, now_for(found), is_now=True)
        else:
            body = _past(found, bodies.instant(at, "at"))
        return Response(body, headers=_NO_STORE)


class Feature(SatelliteView):
    """May the organization do now what only some plans have? 403 says why not.

    `feature_unavailable` where the plan has it not, or where it is only planned; `payment_required`
    and `account_locked` while an invoice is owed and the feature is a paid one.
    """

    @extend_schema(responses={200: FeatureResponse, **_PROBLEMS}, tags=["usage"])
    def get(self, request: Request, organization: str, feature: str) -> Response:
        found = _organization(request, organization)
        effective = _current(found)
        require_feature(found, feature)
        body = {"feature": feature, "allowed": True, "plan": effective.plan.key}
        return Response(body, headers=_NO_STORE)


class OrganizationUsage(SatelliteView):
    """Every balance, its projection and what it costs so far."""

    @extend_schema(responses={200: UsageResponse, **_PROBLEMS}, tags=["usage"])
    def get(self, request: Request, organization: str) -> Response:
        found = _organization(request, organization)
        return Response(usage_body(found), headers=_NO_STORE)


class MyUsage(APIView):
    """For people: the current organization's usage (document 004's own path)."""

    permission_classes = [capability(Capability.USAGE_VIEW_OWN)]

    @extend_schema(
        parameters=[OpenApiParameter("organization", str, description="Default: the current.")],
        responses={200: UsageResponse, **_PROBLEMS},
        tags=["subscriptions"],
    )
    def get(self, request: Request) -> Response:
        return Response(usage_body(current.organization_for(request)), headers=_NO_STORE)


def usage_body(organization: Organization) -> dict[str, Any]:
    _current(organization)
    return usage.body(usage.of(organization))


def _current(organization: Organization) -> EffectivePlan:
    try:
        return store.current(organization)
    except CatalogueNotApplied as error:
        raise EngineUnavailable("Nothing is on sale here yet.") from error


def _organization(request: Request, name: str) -> Organization:
    identity = naming.organization(name, bearer_of(request))
    found = Organization.objects.filter(pk=identity, closed_at=None).first()
    if found is None:
        raise OrganizationNotFound("There is no such organization.")
    return found


def _entitlements(verdict: Any, action: str | None) -> dict[str, Any]:
    """Of an EffectivePlan or an EffectivePlanChange: they share their columns."""
    return {
        "organization": str(verdict.organization_id),
        "plan": verdict.plan.key,
        "plan_version": verdict.plan.version,
        "source": verdict.source,
        "status": verdict.status,
        "access": verdict.access,
        "is_beta": verdict.is_beta,
        "seats": verdict.seats,
        "features": _features(verdict),
        "limits": {
            limit.meter: {"amount": limit.amount, "hard": limit.hard, "per": limit.per}
            for limit in verdict.plan.limits.all()
        },
        "next_action": action,
        "reason": verdict.reason,
        **{
            name: None if getattr(verdict, name) is None else instant(getattr(verdict, name))
            for name in ("period_start", "period_end", "grace_ends_at", "valid_until")
        },
        "sequence": verdict.sequence,
        "trace": verdict.trace,
    }


def _features(verdict: EffectivePlan | EffectivePlanChange) -> dict[str, str]:
    """Beta has every feature of the catalogue on, except what is only planned."""
    if verdict.is_beta:
        return {key: feature.state for key, feature in catalog.current().features.items()}
    return dict(verdict.plan.features)


def _past(organization: Organization, at: datetime) -> dict[str, Any]:
    """The verdict that held at that instant, from the history of verdicts and their facts.

    A test clock may stand behind the wall's: what is past for the caller is no future here.
    """
    at = asking.aware(at, "at")
    now = now_for(organization)
    if at > max(now, database_now()):
        raise InvalidRequest("An instant of the past.", field="at")
    at = min(at, now)
    change = history.at(organization, at)
    if change is None:
        raise InvalidRequest("Nothing is known of that time.", field="at")
    body = _entitlements(change, None) | {"at": instant(at)}
    return body | {"why": _why(change, at, is_now=False)}


def _why(
    verdict: EffectivePlan | EffectivePlanChange, at: datetime, *, is_now: bool
) -> dict[str, Any]:
    reasons = meters.of(verdict, at, is_now=is_now)
    return why.body(verdict) | {"meters": {found.key: meters.body(found) for found in reasons}}
