"""The signed token, and the only way to believe one: Ed25519, by a key that we already have.

`header.payload.signature`, each base64url without padding. The header's `alg` and `typ` must be
what they can only be; nothing in a token chooses how it is checked (F1).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM: Final = "EdDSA"
TYPE: Final = "ledgerline-licence"
MOST_CHARACTERS: Final = 8192
_PARTS: Final = 3
_LARGEST_SEATS: Final = 10**6
_LAST_SECOND: Final = 32_503_680_000  # the year 3000


class LicenceRefused(Exception):
    """`code` is one word for programs and pages; nothing of the token is repeated."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Licence:
    """What the vendor grants one installation. `seats` None is unlimited."""

    id: str
    holder: str
    instance: str
    catalog: str
    plan: str
    seats: int | None
    issued_at: datetime
    starts_at: datetime
    ends_at: datetime
    kid: str = ""


def sign(licence: Licence, kid: str, key: Ed25519PrivateKey) -> str:
    """The vendor's side."""
    header = {"alg": ALGORITHM, "kid": kid, "typ": TYPE}
    payload = {
        "aud": TYPE,
        "jti": licence.id,
        "sub": licence.holder,
        "instance": licence.instance,
        "catalog": licence.catalog,
        "plan": licence.plan,
        "seats": licence.seats,
        "iat": int(licence.issued_at.timestamp()),
        "nbf": int(licence.starts_at.timestamp()),
        "exp": int(licence.ends_at.timestamp()),
    }
    signed = f"{_written(header)}.{_written(payload)}"
    return f"{signed}.{_encoded(key.sign(signed.encode()))}"


def verify(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Licence:
    """The licence in an authentic token, whatever its dates and whoever it is for.

    Raises LicenceRefused and nothing else.
    """
    try:
        return _verified(token, keys)
    except LicenceRefused:
        raise
    except Exception as error:
        raise LicenceRefused("malformed") from error


def _verified(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Licence:
    if len(token) > MOST_CHARACTERS or not token.isascii():
        raise LicenceRefused("malformed")
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise LicenceRefused("malformed")
    header = _read(parts[0])
    if header.keys() != {"alg", "kid", "typ"} or header["typ"] != TYPE:
        raise LicenceRefused("malformed")
    if header["alg"] != ALGORITHM:
        raise LicenceRefused("algorithm")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise LicenceRefused("unknown_key")
    try:
        key.verify(_decoded(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    except InvalidSignature:
        raise LicenceRefused("signature") from None
    return _licence(_read(parts[1]), header["kid"])


def _licence(claims: dict[str, Any], kid: str) -> Licence:
    if claims.pop("aud") != TYPE:
        raise LicenceRefused("audience")
    seats = claims["seats"]
    if seats is not None and not (_is_whole(seats) and 0 < seats <= _LARGEST_SEATS):
        raise LicenceRefused("malformed")
    return Licence(
        id=_text(claims, "jti"),
        holder=_text(claims, "sub"),
        instance=_text(claims, "instance"),
        catalog=_text(claims, "catalog"),
        plan=_text(claims, "plan"),
        seats=seats,
        issued_at=_instant(claims, "iat"),
        starts_at=_instant(claims, "nbf"),
        ends_at=_instant(claims, "exp"),
        kid=kid,
    )


def _text(claims: dict[str, Any], name: str) -> str:
    found = claims[name]
    if not isinstance(found, str) or not found or not found.isprintable():
        raise LicenceRefused("malformed")
    return found


def _instant(claims: dict[str, Any], name: str) -> datetime:
    found = claims[name]
    if not _is_whole(found) or not 0 <= found <= _LAST_SECOND:
        raise LicenceRefused("malformed")
    return datetime.fromtimestamp(found, UTC)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _written(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode())


def _read(part: str) -> dict[str, Any]:
    found = json.loads(_decoded(part), object_pairs_hook=_without_doubles)
    if not isinstance(found, dict):
        raise LicenceRefused("malformed")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers must not see two different values of one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise LicenceRefused("malformed")
    return found


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    """Only the one way to write it: what decodes alike but reads differently is refused."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise LicenceRefused("malformed") from None
    if _encoded(raw) != part:
        raise LicenceRefused("malformed")
    return raw
