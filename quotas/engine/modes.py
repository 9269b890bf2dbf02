"""Which enforcement applies to a meter or a feature of an organization now.

The narrowest scope that somebody has switched wins: the organization's subject, the organization,
the deployment's subject, the deployment; else what the catalogue says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from billing import catalog
from orgs.models import Organization
from quotas.models import EnforcementSwitch

Scope = tuple[bool, str]  # the organization's own?, the subject or ""


@dataclass(frozen=True)
class Modes:
    """The modes that hold for one organization, read once."""

    switched: Mapping[Scope, str]

    def of(self, subject: str) -> str:
        for scope in ((True, subject), (True, ""), (False, subject), (False, "")):
            if scope in self.switched:
                return self.switched[scope]
        policy = catalog.current().enforcement
        return policy.meters.get(subject, policy.default)


def load(organization: Organization) -> Modes:
    rows = EnforcementSwitch.objects.standing().concerning(organization).in_order()
    found = rows.values_list("organization_id", "subject", "mode")
    return Modes({(own is not None, subject): mode for own, subject, mode in found})


def of(organization: Organization, subject: str) -> str:
    return load(organization).of(subject)
