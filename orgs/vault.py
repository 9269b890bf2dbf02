"""Secrets that must be read again are kept encrypted, under keys derived from SECRET_KEY.

A purpose has keys of its own: what was kept for one cannot be read as another. While a key is
changed, SECRET_KEY_FALLBACKS still opens what the former one closed.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def closed(secret: str, purpose: str) -> str:
    return _vault(purpose).encrypt(secret.encode()).decode()


def opened(kept: str, purpose: str) -> str:
    """Raises InvalidToken when SECRET_KEY changed and the former one is not a fallback."""
    return _vault(purpose).decrypt(kept.encode()).decode()


def _vault(purpose: str) -> MultiFernet:
    return _vault_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS), purpose)


@lru_cache(maxsize=8)
def _vault_of(keys: tuple[str, ...], purpose: str) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key, purpose)) for key in keys])


def _derived(key: str, purpose: str) -> bytes:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return base64.urlsafe_b64encode(derive.derive(key.encode()))
