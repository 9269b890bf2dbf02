"""What every page's shell needs: the organization, the switcher, what the person may do."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from orgs import capabilities, current, impersonation
from orgs.models import Membership, User

SWITCHER_LENGTH = 50
_ANONYMOUS: dict[str, Any] = {
    "organization": None,
    "membership": None,
    "memberships": [],
    "capabilities": frozenset(),
}


def shell(request: HttpRequest) -> dict[str, Any]:
    """`organization`, `membership`, `capabilities`, and `memberships` for the switcher.

    One query at most, and none for a fragment that shows no shell: the values are lazy.
    """
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return dict(_ANONYMOUS)
    memberships = SimpleLazyObject(lambda: list(current.open_memberships(user)[:SWITCHER_LENGTH]))
    inside: Membership | None = getattr(request, "membership", None)
    looking = {"impersonation": impersonation.of(request)}
    if inside is not None:
        return looking | _describe(inside, memberships)
    chosen = _Once(user, memberships)
    return looking | {
        "memberships": memberships,
        "membership": SimpleLazyObject(chosen.membership),
        "organization": SimpleLazyObject(chosen.organization),
        "capabilities": SimpleLazyObject(lambda: capabilities.of(chosen.membership())),
    }


def _describe(membership: Membership, memberships: Any) -> dict[str, Any]:
    return {
        "memberships": memberships,
        "membership": membership,
        "organization": membership.organization,
        "capabilities": capabilities.of(membership),
    }


class _Once:
    """A page outside /o/ shows the person's current organization, picked from the same list."""

    def __init__(self, user: User, memberships: Any) -> None:
        self.user = user
        self.memberships = memberships

    def membership(self) -> Membership | None:
        wanted = self.user.current_organization_id
        for membership in self.memberships:
            if membership.organization_id == wanted:
                return membership  # type: ignore[no-any-return]
        return next(iter(self.memberships), None)

    def organization(self) -> Any:
        membership = self.membership()
        return None if membership is None else membership.organization
