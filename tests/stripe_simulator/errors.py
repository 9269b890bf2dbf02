"""Stripe's error envelope, raised anywhere below a request."""

from typing import Any


class StripeError(Exception):
    """An answer with Stripe's error body; `keeps_changes` says whether the work before it stays."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keeps_changes = kind == "card_error"
        self.error: dict[str, Any] = {"type": kind, "message": message}
        if code:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.error["param"] = param
        self.error |= extra


def missing(kind: str, key: str, param: str = "id") -> StripeError:
    """Stripe answers 404 for the object of the path and 400 for one named in a parameter."""
    noun = kind.rpartition(".")[2]
    return StripeError(
        f"No such {noun}: '{key}'",
        status=404 if param == "id" else 400,
        code="resource_missing",
        param=param,
    )


def required(param: str) -> StripeError:
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def declined(code: str, decline_code: str | None, message: str, **extra: Any) -> StripeError:
    if decline_code:
        extra["decline_code"] = decline_code
    return StripeError(message, status=402, kind="card_error", code=code, **extra)
