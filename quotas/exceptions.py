"""Refusals of the quota engine. Each is a sentence for a person and a code for a program."""

from orgs.exceptions import DomainError, Unprocessable


class QuotaError(DomainError):
    status = 400
    code = "quota_error"


class QuotaExceeded(QuotaError):
    """A hard limit would be crossed, and waiting does not help."""

    status = 402
    code = "quota_exceeded"


class QuotaExhausted(QuotaExceeded):
    """A hard limit of a meter that resets; Retry-After says when."""

    status = 429
    code = "quota_exceeded"


class AccountLocked(QuotaError):
    """The organization is read-only until an open invoice is paid."""

    status = 403
    code = "account_locked"


class PaymentRequired(QuotaError):
    """No new paid actions until a payment succeeds."""

    status = 403
    code = "payment_required"


class FeatureUnavailable(QuotaError):
    """The plan does not have it."""

    status = 403
    code = "feature_unavailable"


class IdempotencyConflict(QuotaError):
    """The key was used for another request."""

    status = 409
    code = "idempotency_conflict"


class StaleObservation(QuotaError):
    """A level was observed later than this value; the later one stays."""

    status = 409
    code = "stale_observation"


class ReleaseExceedsUsage(QuotaError):
    """A release would give back more than is used."""

    status = 409
    code = "release_exceeds_usage"


class NothingToRelease(QuotaError):
    """The consume was refused, or its meter sums nothing."""

    status = 409
    code = "nothing_to_release"


class ReservationEnded(QuotaError):
    """A reservation ends once: committed, voided or expired."""

    status = 409
    code = "reservation_ended"


class KeyGone(QuotaError):
    """No consume with this key is retained; release by amount instead."""

    status = 410
    code = "key_gone"


class ReservationNotFound(QuotaError):
    status = 404
    code = "reservation_not_found"


class InvalidRequest(Unprocessable):
    """`field` names what cannot be accepted."""


class UnknownMeter(Unprocessable):
    """The catalogue has no such meter, or this verb does not fit its kind."""

    code = "unknown_meter"


class TokenInvalid(QuotaError):
    """Unknown, expired or revoked: one answer for all."""

    status = 401
    code = "token_invalid"


class OutOfScope(QuotaError):
    """The token is not for this meter or organization."""

    status = 403
    code = "out_of_scope"


class Busy(QuotaError):
    """The request was not applied. The same key may be sent again after Retry-After seconds."""

    status = 503
    code = "busy"


class OutcomeUnknown(QuotaError):
    """The request may have been applied. The same key finds the answer."""

    status = 503
    code = "outcome_unknown"


class EngineUnavailable(QuotaError):
    """PostgreSQL cannot be reached. Nothing was admitted."""

    status = 503
    code = "unavailable"


class NothingOnSale(EngineUnavailable):
    """No catalogue was ever applied here, so no organization has limits."""
