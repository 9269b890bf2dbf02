"""What happens to organizations and members. Each is sent inside the act's transaction.

A receiver that raises undoes the act: that is how quotas veto a member beyond the last seat.
"""

from django.dispatch import Signal

organization_created = Signal()  # organization, actor
organization_renamed = Signal()  # organization, actor
organization_closing = Signal()  # organization, actor; before closed_at is set; may veto
organization_closed = Signal()  # organization, actor
member_inviting = Signal()  # organization, actor; before the invitation; may veto
member_adding = Signal()  # organization, user, role, invitation; before the row; may veto
member_added = Signal()  # organization, membership, invitation
member_removed = Signal()  # organization, user, membership_id
role_changed = Signal()  # organization, membership, before (the former role)
export_asked = Signal()  # export (DataExport); a worker builds it
deletion_asked = Signal()  # organization, deletion
