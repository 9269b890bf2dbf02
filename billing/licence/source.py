"""Where an installation keeps its licence, and the keys by which we know the vendor's hand."""

import base64
import tomllib
from collections.abc import Mapping
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings

from billing.licence.token import MOST_CHARACTERS

logger = structlog.get_logger(__name__)


def read() -> str:
    """The token, or nothing: a file that cannot be read is as good as none (F5)."""
    if settings.LICENCE_KEY:
        return str(settings.LICENCE_KEY).strip()
    if not settings.LICENCE_FILE:
        return ""
    try:
        with Path(settings.LICENCE_FILE).open("rb") as file:
            raw = file.read(MOST_CHARACTERS + 64)  # of 10 MB no more than shows that it is too long
    except (OSError, ValueError):
        return ""
    return raw.decode("ascii", errors="replace").strip()


def public_keys() -> Mapping[str, Ed25519PublicKey]:
    """Part of the program, never of the environment: who runs it must not name the vendor."""
    try:
        found = tomllib.loads(Path(settings.LICENCE_PUBLIC_KEYS).read_text(encoding="utf-8"))
        return {
            kid: Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
            for kid, key in found.items()
        }
    except Exception:
        logger.exception("alert.licence_keys_unreadable")
        return {}
