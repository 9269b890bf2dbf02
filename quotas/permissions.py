"""Quotas for Django REST framework's `permission_classes`."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from orgs import current
from quotas.decorators import require_feature
from quotas.engine import enforcement


class HasFeature(BasePermission):
    """The plan of the organization that the call names has the feature, else 403."""

    feature: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        require_feature(current.organization_for(request), self.feature)
        return True


class WithinQuota(BasePermission):
    """One more of the meter would be admitted; nothing is counted. Refusals are 402, 403 or 429."""

    meter: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        membership = current.membership_for(request)
        enforcement.authorize(membership.organization, self.meter, member=str(membership.pk))
        return True


def feature(name: str) -> type[HasFeature]:
    return type("HasFeature", (HasFeature,), {"feature": name})


def within_quota(meter: str) -> type[WithinQuota]:
    return type("WithinQuota", (WithinQuota,), {"meter": meter})
