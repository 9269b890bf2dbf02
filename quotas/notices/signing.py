"""Standard Webhooks: the secrets, how they are kept, and the three headers."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from orgs import vault

PREFIX = "whsec_"
_BYTES = 32
_PURPOSE = "ledgerline notice secrets"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers(
    webhook_id: str, at: datetime, body: bytes, signed_with: Iterable[str]
) -> dict[str, str]:
    """One signature per secret, so that a receiver may know either of them (G7)."""
    timestamp = int(at.timestamp())  # an aware instant has one timestamp in every zone (G8)
    signatures = [_signature(secret, webhook_id, timestamp, body) for secret in signed_with]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _signature(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


# --- At rest ----------------------------------------------------------------------------------


def encrypted(secret: str) -> str:
    return vault.closed(secret, _PURPOSE)


def decrypted(kept: str) -> str:
    """Raises InvalidToken when SECRET_KEY changed and the former one is not a fallback."""
    return vault.opened(kept, _PURPOSE)
