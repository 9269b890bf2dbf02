"""Personal API tokens: shown once, stored as a hash, as strong as their owner's memberships."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from orgs import audit
from orgs.exceptions import Unprocessable
from orgs.models import Organization, PersonalToken, User

PERSONAL_PREFIX = "llp_"
SERVICE_PREFIX = "lls_"  # satellites' tokens, which quotas knows
READ, WRITE = "read", "write"
SCOPES = (READ, WRITE)
_SHOWN = 12
_LAST_USED_RESOLUTION = timedelta(minutes=1)


def issue(
    user: User,
    name: str,
    *,
    scopes: Collection[str] = SCOPES,
    expires_at: datetime | None = None,
    organization: Organization | None = None,
) -> tuple[PersonalToken, str]:
    """Returns the row and the secret, which nobody can read again; None never expires.

    `organization` is only where the act is written down: the token works in all of the person's.
    """
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise Unprocessable(_("Choose what the key may do."), field="scopes")
    secret = PERSONAL_PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = PersonalToken.objects.create(
            user=user,
            name=name,
            prefix=secret[:_SHOWN],
            token_hash=digest(secret),
            scopes=sorted(scopes),
            expires_at=expires_at,
        )
        audit.record(
            "api_key.issued",
            organization=organization,
            actor=user,
            target=token.prefix,
            after={"name": name, "scopes": token.scopes},
        )
    return token, secret


def revoke(token: PersonalToken, *, actor: User, organization: Organization | None = None) -> None:
    """At once; a second call changes nothing."""
    with transaction.atomic():
        ended = PersonalToken.objects.filter(pk=token.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if ended:
            audit.record(
                "api_key.revoked", organization=organization, actor=actor, target=token.prefix
            )


def of_person(user: User) -> QuerySet[PersonalToken]:
    """Newest first."""
    found: QuerySet[PersonalToken] = user.api_tokens.filter(revoked_at=None)
    return found.order_by("-created_at", "-pk")


def find(secret: str) -> PersonalToken | None:
    """The live token of an active person. Looked up by hash: no secret is compared by byte."""
    return (
        PersonalToken.objects.select_related("user")
        .filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
            token_hash=digest(secret),
            revoked_at=None,
            user__is_active=True,
        )
        .first()
    )


def touch(token: PersonalToken) -> None:
    """Notes the use, at most once a minute, so that reading costs no write."""
    now = timezone.now()
    stale = now - _LAST_USED_RESOLUTION
    if token.last_used_at is not None and token.last_used_at > stale:
        return
    PersonalToken.objects.filter(
        Q(last_used_at=None) | Q(last_used_at__lte=stale), pk=token.pk
    ).update(last_used_at=now)


def digest(secret: str) -> str:
    """One round is enough: the secret has 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
