"""Stripe's webhook signature: HMAC-SHA256 of `t.body`, several secrets, ±300 s (A7-A11)."""

import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import Final

# https://docs.stripe.com/webhooks#verify-manually: the libraries' default, and ours both ways,
# because stripe-python accepts a timestamp of next year.
TOLERANCE_SECONDS: Final = 300
_LONGEST_HEADER: Final = 4096
_LONGEST_TIMESTAMP: Final = 12


def is_valid(body: bytes, header: str, secrets: Iterable[str], *, now: float | None = None) -> bool:
    """Whether any of the secrets signed this body within the tolerance of the wall clock."""
    timestamp, candidates = _parse(header)
    if timestamp is None or not candidates:
        return False
    wall = time.time() if now is None else now
    if abs(wall - timestamp) > TOLERANCE_SECONDS:
        return False
    signed = b"%d." % timestamp + body
    return any(
        hmac.compare_digest(_digest(secret, signed), candidate)
        for secret in secrets
        if secret  # an empty secret would verify what anyone can forge (A10)
        for candidate in candidates
    )


def sign(body: bytes, secret: str) -> str:
    """The header that Stripe would send now."""
    timestamp = int(time.time())
    return f"t={timestamp},v1={_digest(secret, b'%d.' % timestamp + body).decode()}"


def _digest(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()


def _parse(header: str) -> tuple[int | None, list[bytes]]:
    timestamp: int | None = None
    candidates: list[bytes] = []
    for part in header[:_LONGEST_HEADER].split(","):
        name, _, value = part.strip().partition("=")
        if name == "t" and value.isascii() and value.isdigit() and len(value) <= _LONGEST_TIMESTAMP:
            timestamp = int(value)
        elif name == "v1":
            candidates.append(value.encode("utf-8", "replace"))
    return timestamp, candidates
