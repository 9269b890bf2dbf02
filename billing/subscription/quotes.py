"""A price that was shown, signed: what is confirmed is what was seen, to the minor unit.

Without the signature anybody could name the end of the period as the moment of proration.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import uuid4

from django.core import signing
from django.utils.translation import gettext as _

from billing.exceptions import QuoteExpired
from billing.subscription.holding import Holding
from billing.subscription.wishes import Wish
from orgs.models import Organization

_SALT: Final = "billing.quote"
_LIFETIME_SECONDS: Final = 1800


@dataclass(frozen=True, kw_only=True)
class Quote:
    """`nonce` is the identity of the intent: a double click is one change (B1)."""

    wish: Wish
    moment: int  # of proration, in epoch seconds of the organization's own time
    nonce: str


def fresh(wish: Wish, moment: int) -> Quote:
    return Quote(wish=wish, moment=moment, nonce=uuid4().hex)


def sign(organization: Organization, held: Holding, quote: Quote) -> str:
    body = {
        "for": str(organization.pk),
        "basis": _basis(held),
        "wish": asdict(quote.wish),
        "moment": quote.moment,
        "nonce": quote.nonce,
    }
    return signing.dumps(body, salt=_SALT, compress=True)


def read(organization: Organization, token: str) -> tuple[Quote, list[Any]]:
    """The quote and what it was made for. Raises QuoteExpired: old, forged or somebody else's."""
    try:
        body = signing.loads(token, salt=_SALT, max_age=_LIFETIME_SECONDS)
    except signing.BadSignature:
        raise expired() from None
    if body["for"] != str(organization.pk):
        raise expired()
    quote = Quote(wish=Wish(**body["wish"]), moment=body["moment"], nonce=body["nonce"])
    return quote, body["basis"]


def still_holds(held: Holding, basis: list[Any]) -> bool:
    """False when plan, seats or period are no longer those that the price was made for."""
    return basis == _basis(held)


def expired() -> QuoteExpired:
    return QuoteExpired(_("This price is no longer current. Please look at it again."))


def _basis(held: Holding) -> list[Any]:
    found = held.subscription
    start = found.current_period_start
    return [
        found.stripe_id,
        found.price_id,
        found.quantity,
        sorted([item["price"], item["quantity"]] for item in found.items),
        int(start.timestamp()) if start else None,
    ]
