"""Whether self-serve Checkout is open: in live mode a catalogue may want a live smoke run first."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings
from django.utils.translation import gettext as _

from billing import catalog, evidence
from billing.exceptions import BillingError

_rehearsing = ContextVar("rehearsing", default=False)


class CheckoutNotOpen(BillingError):
    """Nobody has seen the whole way work in live mode yet."""

    status = 503
    code = "checkout_not_open"


def is_open() -> bool:
    if not (settings.STRIPE_LIVE_MODE and catalog.current().checkout.needs_live_smoke):
        return True
    return _rehearsing.get() or evidence.smoke_is_on_file()


def check() -> None:
    """Raises CheckoutNotOpen."""
    if not is_open():
        raise CheckoutNotOpen(_("Buying is not open yet. Nothing was charged; please come back."))


@contextmanager
def rehearsal() -> Iterator[None]:
    """The smoke run opens what it is there to try."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)
