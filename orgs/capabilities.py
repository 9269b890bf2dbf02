"""What a role may do. Pages and API calls name capabilities, never roles."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from orgs.models import Membership, Role


class Capability(StrEnum):
    ORGANIZATION_VIEW = "organization.view"
    ORGANIZATION_MANAGE = "organization.manage"
    ORGANIZATION_CLOSE = "organization.close"
    ORGANIZATION_EXPORT = "organization.export"
    OWNERSHIP_TRANSFER = "ownership.transfer"
    MEMBERS_VIEW = "members.view"
    MEMBERS_MANAGE = "members.manage"
    BILLING_VIEW = "billing.view"
    BILLING_MANAGE = "billing.manage"
    STATUS_VIEW = "status.view"
    USAGE_VIEW = "usage.view"
    USAGE_VIEW_OWN = "usage.view_own"
    USAGE_MANAGE = "usage.manage"
    AUDIT_VIEW = "audit.view"
    API_KEYS_MANAGE = "api_keys.manage"


Policy = Mapping[str, frozenset[str]]

ALL: frozenset[str] = frozenset(Capability)
_MEMBER: frozenset[str] = frozenset(
    {
        Capability.ORGANIZATION_VIEW,
        Capability.MEMBERS_VIEW,
        Capability.STATUS_VIEW,
        Capability.USAGE_VIEW_OWN,
        Capability.API_KEYS_MANAGE,
    }
)
DEFAULT_POLICY: Policy = {
    Role.OWNER: ALL,
    Role.ADMIN: _MEMBER
    | {
        Capability.ORGANIZATION_MANAGE,
        Capability.MEMBERS_MANAGE,
        Capability.USAGE_VIEW,
        Capability.AUDIT_VIEW,
    },
    Role.MEMBER: _MEMBER,
}


class _Binding:
    provider: Callable[[], Policy] | None = None


def bind_policy(provider: Callable[[], Policy] | None) -> None:
    """Billing gives the catalogue's map at start; None goes back to the default one."""
    _Binding.provider = provider


def policy_provider() -> Callable[[], Policy] | None:
    return _Binding.provider


def of_role(role: str) -> frozenset[str]:
    """An owner keeps every capability: a catalogue that forgets one must not lock owners out."""
    if role == Role.OWNER:
        return ALL
    policy = _Binding.provider() if _Binding.provider is not None else DEFAULT_POLICY
    return frozenset(policy.get(role, frozenset())) & ALL


def of(membership: Membership | None) -> frozenset[str]:
    """No membership means no capability at all."""
    return frozenset() if membership is None else of_role(membership.role)


def known(name: str) -> str:
    """Returns the name; raises ValueError for one that no role could ever have."""
    return Capability(name).value


def roles_with(name: str) -> tuple[str, ...]:
    """The roles that have the capability, most powerful first: for sentences such as "Ask …"."""
    return tuple(role for role in Role.values if name in of_role(role))
