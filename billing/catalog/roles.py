"""The catalogue's map of roles to capabilities, given to orgs at start."""

from collections.abc import Mapping

from billing.catalog import current
from orgs import capabilities
from orgs.models import Role


def bind() -> None:
    capabilities.bind_policy(policy)


def policy() -> Mapping[str, frozenset[str]]:
    """Owners keep every capability whatever the file says (orgs.capabilities)."""
    roles = current().roles
    return {Role.ADMIN: frozenset(roles.admin), Role.MEMBER: frozenset(roles.member)}
