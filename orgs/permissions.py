"""The role check of API calls, for DRF's `permission_classes`."""

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from orgs import capabilities, current, ports
from orgs.decorators import is_open_when_locked, require
from orgs.models import User


class HasCapability(BasePermission):
    """The caller's role in the organization that the call names; strangers get 404, not 403."""

    read: str
    write: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, User):
            return False
        membership = current.membership_for(request)
        needed = self.read if request.method in SAFE_METHODS else self.write
        require(capabilities.of(membership), needed)
        if request.method not in SAFE_METHODS and not is_open_when_locked(view):
            ports.check_writes(membership.organization)
        return True


def capability(read: str, *, write: str | None = None) -> type[HasCapability]:
    """`capability("billing.view", write="billing.manage")`; `read` serves unsafe methods too."""
    names = {
        "read": capabilities.known(read),
        "write": capabilities.known(read if write is None else write),
    }
    return type("HasCapability", (HasCapability,), names)
