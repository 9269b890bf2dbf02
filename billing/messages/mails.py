"""The one way by which billing's mails enter the outbox: once each, unless switched off."""

from typing import Any

from billing import catalog
from billing.messages import outbox
from orgs.models import Organization


def announce(
    organization: Organization, kind: str, *, once_per: str, payload: dict[str, Any] | None = None
) -> bool:
    """False when it was announced before, or the catalogue's [mail] has switched the kind off."""
    if not getattr(catalog.current().mail, kind, True):
        return False
    return outbox.put(organization, f"mail.{kind}", once_per=once_per, payload=payload)
