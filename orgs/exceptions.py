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
