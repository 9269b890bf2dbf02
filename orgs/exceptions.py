"""The root of every refusal we expect; `config` turns each into a page or a problem document."""

from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal we expect and can explain. Anything else that escapes is a bug."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "domain_error"

    def __init__(
        self, message: str, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(message)
        self.headers = headers or {}
        self.extra = extra


class NotAllowed(DomainError):
    """The person's role in the organization does not cover the act."""

    status = 403
    code = "not_allowed"


class Unprocessable(DomainError):
    """A field's value cannot be accepted; `field` names it."""

    status = 422
    code = "invalid"


class OrganizationNotFound(DomainError):
    """Unknown, closed or somebody else's: the three look the same from outside (E1, E8)."""

    status = 404
    code = "organization_not_found"


class LastOwner(DomainError):
    """The organization would be left without an owner (E7)."""

    status = 409
    code = "last_owner"


class AlreadyMember(DomainError):
    """The person is in the organization already."""

    status = 409
    code = "already_member"


class SlugTaken(DomainError):
    """Another organization has, or once had, this slug."""

    status = 409
    code = "slug_taken"


class PersonalOrganization(DomainError):
    """A personal organization has one person, cannot be handed over and lives as long as they."""

    status = 409
    code = "personal_organization"


class InvitationInvalid(DomainError):
    """Unknown, used, withdrawn or expired: one answer for all four (E5)."""

    status = 410
    code = "invitation_invalid"


class InvitationForSomeoneElse(DomainError):
    """The invitation was sent to another address than the one that is logged in (E5)."""

    status = 403
    code = "invitation_for_someone_else"


class TooManyExports(DomainError):
    """An archive reads everything; a few a day are enough."""

    status = 429
    code = "too_many_exports"


class ExportNotReady(DomainError):
    """Never asked for, not finished yet, or expired."""

    status = 404
    code = "export_not_ready"


class DeletionBlocked(DomainError):
    """Something must be settled first; `blockers` name it with the way out of each."""

    status = 409
    code = "deletion_blocked"
