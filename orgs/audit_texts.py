"""What the actions of the audit trail are called on pages; exports keep the action's own name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from orgs.models import AuditEntry

_TEXTS: dict[str, str | Promise] = {
    "organization.created": _("Organization created"),
    "organization.described": _("Settings changed"),
    "organization.slug_changed": _("Address changed"),
    "organization.closed": _("Organization closed"),
    "organization.export_asked": _("Archive of everything asked for"),
    "organization.export_downloaded": _("Archive of everything downloaded"),
    "organization.deletion_asked": _("Deletion asked for"),
    "organization.deletion_undone": _("Deletion undone"),
    "organization.erased": _("Data erased"),
    "account.deleted": _("Account deleted"),
    "member.invited": _("Invitation sent"),
    "member.joined": _("Joined"),
    "member.left": _("Left"),
    "member.removed": _("Member removed"),
    "member.role_changed": _("Role changed"),
    "invitation.revoked": _("Invitation withdrawn"),
    "invitation.declined": _("Invitation declined"),
    "ownership.handed_over": _("Ownership handed over"),
    "api_key.issued": _("API key created"),
    "api_key.revoked": _("API key revoked"),
    "person.second_factor_removed": _("Second factor taken away"),
    "person.impersonation_started": _("Support began to look at pages as a member"),
    "person.impersonation_ended": _("Support ended its look at pages as a member"),
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field; None means that there was, or is, no value."""

    field: str
    before: Any
    after: Any


def register(texts: Mapping[str, str | Promise]) -> None:
    """Floors above name their own actions when they start."""
    _TEXTS.update(texts)


def text_for(action: str) -> str:
    """An action without a name is shown as its words: `grant.ended` becomes “Grant ended”."""
    named = _TEXTS.get(action)
    return str(named) if named is not None else capfirst(action.replace(".", " ").replace("_", " "))


def changes_of(entry: AuditEntry) -> list[Change]:
    before, after = entry.before or {}, entry.after or {}
    return [
        Change(field=gettext(field), before=before.get(field), after=after.get(field))
        for field in sorted(before.keys() | after.keys())
    ]
