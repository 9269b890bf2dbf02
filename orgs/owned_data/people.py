"""The tables of this floor: the organization itself, its people, and what they did."""

from orgs.models import AuditEntry, Invitation, Membership, Organization, PersonalToken, SlugHistory
from orgs.owned_data.tables import mine, of_model, register


def register_tables() -> None:
    register(
        of_model(
            "organization",
            "The organization and its settings.",
            {
                "id": "the id that never changes",
                "slug": "its address in links",
                "name": "its name",
                "kind": "personal or team",
                "language": "of its mails",
                "time_zone": "of its pages",
                "billing_email": "where bills go; empty means the first owner's address",
                "created_at": "when it was founded",
            },
            lambda scope: Organization.objects.filter(pk=scope.organization.pk),
        ),
        of_model(
            "addresses",
            "Every address (slug) that it ever had; nobody else can take one.",
            {"slug": "the address", "taken_at": "since when it is its own"},
            mine(SlugHistory),
        ),
        of_model(
            "members",
            "Who is in it.",
            {
                "id": "the member's id, by which usage names them",
                "user.email": "their e-mail address",
                "user.name": "their name, as they wrote it",
                "role": "owner, admin or member",
                "joined_at": "since when",
                "last_active_at": "when they were last seen, to a quarter of an hour",
            },
            mine(Membership),
        ),
        of_model(
            "invitations",
            "Who was invited. The links themselves are secrets and not in here.",
            {
                "email": "to which address",
                "role": "as what",
                "invited_by.email": "by whom",
                "created_at": "when",
                "expires_at": "until when the link works",
                "accepted_at": "when it was accepted",
                "revoked_at": "when it was withdrawn or declined",
            },
            mine(Invitation),
        ),
        of_model(
            "api_keys",
            "API keys of the person whose personal organization it is, without their secrets.",
            {
                "name": "what for",
                "prefix": "how the key begins",
                "scopes": "what it may do",
                "created_at": "when it was made",
                "expires_at": "when it ends by itself",
                "last_used_at": "when it was last used",
                "revoked_at": "when it was revoked",
            },
            lambda scope: PersonalToken.objects.filter(
                user__memberships__organization=scope.organization,
                user__memberships__organization__kind=Organization.Kind.PERSONAL,
            ),
        ),
        of_model(
            "audit_trail",
            "Who did what, before and after.",
            {
                "at": "when",
                "actor_kind": "person, system, stripe or service",
                "actor_label": "who",
                "acting_as": "the staff member behind an impersonated session",
                "action": "what",
                "target": "to whom or what",
                "before": "what it was before",
                "after": "what it is since",
                "request_id": "the request's id in the logs",
            },
            lambda scope: AuditEntry.objects.filter(
                organization=scope.organization, at__lt=scope.until
            ),
        ),
    )
