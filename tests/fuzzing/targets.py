"""What is fuzzed: each takes any bytes, and raises only where the product would answer a 500.

No database: everything here happens before one is asked.
"""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.test import RequestFactory

from billing.catalog import loading
from billing.catalog.loading import CatalogInvalid
from billing.gateway.webhooks import inbox, signature
from billing.gateway.webhooks.inbox import Refused
from billing.licence import token
from billing.licence.token import LicenceRefused
from orgs.exceptions import DomainError
from quotas.api import bodies, calls
from quotas.api.bearers import Bearer
from quotas.engine.lane import WouldWait, never_wait_here

_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(32))
_KEYS: Final = {"fuzz": _KEY.public_key()}
_HEADER: Final = {"alg": token.ALGORITHM, "kid": "fuzz", "typ": token.TYPE}
_BEARER: Final = Bearer(satellite=1, meters=None, organizations=None)
_ORGANIZATION: Final = str(UUID(int=7))


def must(holds: object) -> None:
    assert holds


def webhook(data: bytes) -> None:
    """An odd first byte: the rest is a body with a true signature. Else: a header and a body."""
    signed, rest = bool(data[:1] and data[0] % 2), data[1:]
    if signed:
        body, header = rest, signature.sign(rest, settings.STRIPE_WEBHOOK_SECRETS[0])
    else:
        raw, _line, body = rest.partition(b"\n")
        header = raw.decode("latin-1")
    request = RequestFactory().generic(
        "POST", "/webhooks/stripe", body, "application/json", headers={"stripe-signature": header}
    )
    try:
        found = inbox._verified(request)
        inbox._triage(found)
    except Refused as refused:
        must(400 <= refused.status < 500)


def licence(data: bytes) -> None:
    """As a token, and as the claims of one that the vendor has signed."""
    text = data.decode("utf-8", "surrogateescape")
    header = token._encoded(json.dumps(_HEADER).encode())
    said = f"{header}.{token._encoded(data)}"
    for one in (text, f"{said}.{token._encoded(_KEY.sign(said.encode()))}"):
        try:
            token.verify(one, _KEYS)
        except LicenceRefused as refused:
            must(refused.code)


def usage(data: bytes) -> None:
    """As the body of every call that the event loop serves; as it is, and of a known name."""
    never_wait_here()
    try:
        body = bodies.parse(data)
    except DomainError as refused:
        must(400 <= refused.status < 500)
        return
    for asked in (body, {**body, "organization": _ORGANIZATION}):
        for prepare in calls.PREPARED.values():
            _prepared(prepare, dict(asked))


def _prepared(prepare: Callable[..., object], asked: dict[str, object]) -> None:
    try:
        prepare(_BEARER, asked, None)
    except WouldWait:
        return  # a thread would look the name up
    except DomainError as refused:
        must(400 <= refused.status < 500)


def catalogue(data: bytes) -> None:
    try:
        document = tomllib.loads(data.decode("utf-8", "replace"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    try:
        loading.parse(document, Path("fuzz.toml"))
    except CatalogInvalid as invalid:
        must(invalid.problems)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "webhook": webhook,
    "licence": licence,
    "usage": usage,
    "catalogue": catalogue,
}
CORPUS: Final = Path(__file__).parent / "corpus"


def seeds(name: str) -> list[bytes]:
    """What is kept of a target, crashes that were found among them; and the shipped catalogues."""
    kept = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    if name == "catalogue":
        kept += [loading.path_of(shipped).read_bytes() for shipped in loading.shipped()]
    return kept
