"""Who may order: those who manage billing; a member who asks for their own hears why not."""

from collections.abc import Mapping

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from billing.subscription import audience
from orgs import current
from orgs.capabilities import Capability
from orgs.models import User
from orgs.permissions import capability


class MayOrder(BasePermission):
    """Document 000: an individual plan is refused with its reason, an organization's with 403."""

    manages = capability(Capability.BILLING_MANAGE)()

    def has_permission(self, request: Request, view: APIView) -> bool:
        body = request.data
        if isinstance(request.user, User) and isinstance(body, Mapping):
            audience.check_member(current.membership_for(request), body.get("tier"))
        return self.manages.has_permission(request, view)
