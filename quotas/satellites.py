"""Service tokens: made, rotated, revoked and recognized."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from quotas.models import Satellite, ServiceToken

PREFIX = "lls_"
SHOWN_CHARACTERS = 12  # of the secret, the prefix included: enough to tell tokens apart


def issue_token(
    satellite: Satellite,
    meters: Iterable[str] | None = None,
    organizations: Iterable[UUID] | None = None,
    *,
    expires_at: datetime | None = None,
) -> tuple[ServiceToken, str]:
    """The row and the secret. The secret exists only in this answer; None scopes mean all."""
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ServiceToken.objects.create(
        satellite=satellite,
        prefix=secret[:SHOWN_CHARACTERS],
        token_hash=hash_of(secret),
        meters=None if meters is None else sorted(set(meters)),
        organizations=None if organizations is None else sorted(set(organizations)),
        expires_at=expires_at,
    )
    return token, secret


@transaction.atomic
def rotate_token(token: ServiceToken, *, old_until: datetime) -> tuple[ServiceToken, str]:
    """A new token of the same scopes; the old one works until `old_until`."""
    fresh, secret = issue_token(token.satellite, token.meters, token.organizations)
    token.expires_at = min(filter(None, [token.expires_at, old_until]))
    token.save(update_fields=["expires_at"])
    return fresh, secret


def revoke_token(token: ServiceToken) -> None:
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])


def hash_of(secret: str) -> str:
    """Tokens have 256 random bits, so that a fast hash cannot be guessed backwards."""
    return hashlib.sha256(secret.encode()).hexdigest()
