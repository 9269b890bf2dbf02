"""What a role may do, in words, from the capabilities that are in force."""

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orgs import capabilities
from orgs.capabilities import Capability

# In the order people care; the first of a pair says what the second says too.
_PHRASES: tuple[tuple[Capability, Promise], ...] = (
    (Capability.BILLING_MANAGE, gettext_lazy("change the plan and pay")),
    (Capability.BILLING_VIEW, gettext_lazy("see invoices")),
    (Capability.OWNERSHIP_TRANSFER, gettext_lazy("hand over ownership")),
    (Capability.ORGANIZATION_CLOSE, gettext_lazy("close the organization")),
    (Capability.MEMBERS_MANAGE, gettext_lazy("invite and remove members")),
    (Capability.ORGANIZATION_MANAGE, gettext_lazy("change settings")),
    (Capability.AUDIT_VIEW, gettext_lazy("read the audit log")),
    (Capability.USAGE_VIEW, gettext_lazy("see everybody's usage and the limits")),
    (Capability.USAGE_VIEW_OWN, gettext_lazy("see their own usage")),
)
_COVERED = {Capability.USAGE_VIEW_OWN: Capability.USAGE_VIEW}


def describe_role(role: str) -> str:
    held = capabilities.of_role(role)
    phrases = [
        str(phrase)
        for capability, phrase in _PHRASES
        if capability in held and _COVERED.get(capability) not in held
    ]
    if not phrases:
        return _("No access.")
    return capfirst(", ".join(phrases)) + "."
