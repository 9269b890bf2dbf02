"""Endpoints of satellites: added, rotated, switched off and on. A secret is shown once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from billing.messages import outbox as mails
from billing.models import OutboxMessage
from orgs import audit
from orgs.models import User
from quotas.models import NoticeDelivery, NoticeEndpoint, Satellite
from quotas.notices import addresses, signing

logger = structlog.get_logger(__name__)

OVERLAP: Final = timedelta(hours=24)
_DISABLED: Final = "mail.notices_disabled"


@transaction.atomic
def add(
    satellite: Satellite,
    url: str,
    *,
    events: Iterable[str] | None = None,
    meters: Iterable[str] | None = None,
    organizations: Iterable[UUID] | None = None,
    actor: User | None = None,
) -> tuple[NoticeEndpoint, str]:
    """The row and its secret. Raises AddressRefused; None scopes mean all."""
    addresses.check(url)
    secret = signing.new_secret()
    endpoint = NoticeEndpoint.objects.create(
        satellite=satellite,
        url=url,
        events=_sorted(events),
        meters=_sorted(meters),
        organizations=None if organizations is None else sorted(set(organizations)),
        secret=signing.encrypted(secret),
    )
    _audit("notices.endpoint_added", endpoint, actor)
    return endpoint, secret


def secrets(endpoint: NoticeEndpoint, now: datetime) -> list[str]:
    """What to sign with, newest first."""
    kept = [endpoint.secret]
    if endpoint.former_until is not None and endpoint.former_until > now:
        kept.append(endpoint.former_secret)
    return [signing.decrypted(secret) for secret in kept]


@transaction.atomic
def rotate(endpoint: NoticeEndpoint, *, actor: User | None = None) -> str:
    """The new secret. For a day the old one signs as well, so that a receiver may change over."""
    secret = signing.new_secret()
    endpoint.former_secret, endpoint.secret = endpoint.secret, signing.encrypted(secret)
    endpoint.former_until = timezone.now() + OVERLAP
    endpoint.save(update_fields=["secret", "former_secret", "former_until"])
    _audit("notices.secret_rotated", endpoint, actor)
    return secret


@transaction.atomic
def disable(endpoint: NoticeEndpoint, reason: str, *, actor: User | None = None) -> None:
    """Nothing more is sent to it, and what waited is given up; operators hear of it by mail."""
    now = timezone.now()
    if not NoticeEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None).update(
        disabled_at=now, disabled_reason=reason
    ):
        return
    NoticeDelivery.objects.filter(endpoint=endpoint, state=NoticeDelivery.State.WAITING).update(
        state=NoticeDelivery.State.FAILED, last_error=reason
    )
    _audit("notices.endpoint_disabled", endpoint, actor, reason=reason)
    if actor is None:
        logger.error("alert.notices_disabled", endpoint=endpoint.pk, why=reason)
        mails.put(
            None,
            _DISABLED,
            once_per=f"{endpoint.pk}:{now.isoformat()}",
            payload={"satellite": endpoint.satellite.name, "url": endpoint.url, "why": reason},
        )


@transaction.atomic
def enable(endpoint: NoticeEndpoint, *, actor: User | None = None) -> None:
    """From now on; what was given up is sent again by hand."""
    endpoint.disabled_at, endpoint.disabled_reason = None, ""
    endpoint.failing_since, endpoint.failures, endpoint.paused_until = None, 0, None
    endpoint.save()
    _audit("notices.endpoint_enabled", endpoint, actor)


@mails.sender(_DISABLED)
def send_mail_about_disabled(message: OutboxMessage) -> None:
    found: dict[str, Any] = message.payload
    send_mail(
        subject=f"Notices to {found['satellite']} are switched off",
        message=(
            f"{found['satellite']} gets no more notices at {found['url']}.\n{found['why']}\n\n"
            "Switch the endpoint on again in the admin once it answers."
        ),
        from_email=None,
        recipient_list=[settings.SUPPORT_EMAIL],
    )


def _sorted(chosen: Iterable[str] | None) -> list[str] | None:
    return None if chosen is None else sorted(set(chosen))


def _audit(action: str, endpoint: NoticeEndpoint, actor: User | None, **after: str) -> None:
    audit.record(
        action,
        organization=None,
        actor=actor,
        target=f"{endpoint.satellite.key} {endpoint.url}",
        after=after or None,
    )
