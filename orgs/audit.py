"""The append-only audit trail: who did what to which organization, before and after."""

from dataclasses import dataclass
from typing import Any

import structlog

from orgs.models import AuditEntry, Organization, User

ActorKind = AuditEntry.ActorKind


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts when it is not a logged-in person: a Stripe event, a service token, the system."""

    kind: str
    id: str = ""
    label: str = ""

    @classmethod
    def person(cls, user: User) -> "Actor":
        return cls(kind=ActorKind.PERSON, id=str(user.pk), label=user.email)


SYSTEM = Actor(kind=ActorKind.SYSTEM, label="system")


def record(
    action: str,
    *,
    organization: Organization | None,
    actor: User | Actor | None = None,
    target: object = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Appends one entry in the caller's transaction; without an actor, the system acts.

    The request id and the staff member behind an impersonated session come from the log context.
    """
    who = Actor.person(actor) if isinstance(actor, User) else actor or SYSTEM
    context = structlog.contextvars.get_contextvars()
    return AuditEntry.objects.create(
        organization=organization,
        actor_kind=who.kind,
        actor_id=who.id[:64],
        actor_label=who.label[:254],
        acting_as=str(context.get("acting_as", ""))[:254],
        request_id=str(context.get("request_id", ""))[:64],
        action=action,
        target=str(target)[:254],
        before=before,
        after=after,
    )
