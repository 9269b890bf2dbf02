"""Standard Webhooks: the secrets, how they are kept, and the three headers."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX = "whsec_"
_BYTES = 32


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
    return _vault().encrypt(secret.encode()).decode()


def decrypted(kept: str) -> str:
    """Raises InvalidToken when SECRET_KEY changed and the former one is not a fallback."""
    return _vault().decrypt(kept.encode()).decode()


def _vault() -> MultiFernet:
    return _vault_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _vault_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ledgerline notice secrets")
    return base64.urlsafe_b64encode(derive.derive(key.encode()))
