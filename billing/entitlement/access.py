"""What an organization may still do while it owes: reading and paying always, the rest by access.

DESIGN 1: `restricted` takes no new paid actions, `read_only` is the emergency mode.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from billing import catalog
from billing.entitlement import debts, store
from billing.exceptions import AccountLocked, PaymentRequired
from billing.models import Access
from orgs.models import Organization

V = TypeVar("V", bound=Callable[..., Any])


def check_write(organization: Organization) -> None:
    """Raises AccountLocked while the organization is read-only."""
    if store.current(organization).access == Access.READ_ONLY:
        raise AccountLocked(
            _("This workspace is read-only until the open invoice is paid."),
            **_where_to_pay(organization),
        )


def check_paid_action(organization: Organization) -> None:
    """Raises AccountLocked or PaymentRequired: nothing new is bought while an invoice is owed."""
    check_write(organization)
    if store.current(organization).access == Access.RESTRICTED:
        raise _unpaid(organization)


def check_owes_nothing(organization: Organization) -> None:
    """Raises what check_paid_action raises, and PaymentRequired for a debt that restricts nothing.

    Where grace ends with the default plan a new subscription would end with it at once: it would
    be paid and give nothing.
    """
    check_paid_action(organization)
    effective = store.current(organization)
    if debts.of(effective) is not None:
        raise _unpaid(organization)
    if effective.barred_by_dispute:
        raise PaymentRequired(
            _("Your bank took back an earlier payment. Write to %(support)s to settle it first.")
            % {"support": catalog.current().contacts.support},
            **_where_to_pay(organization),
        )


def paid_action(view: V) -> V:
    """Marks a page that buys something new: refused while access is restricted, too."""
    cast(Any, view).paid_action = True
    return view


def is_paid_action(view: object) -> bool:
    return bool(getattr(view, "paid_action", False))


def _unpaid(organization: Organization) -> PaymentRequired:
    return PaymentRequired(
        _("Pay the open invoice first; then this works again."), **_where_to_pay(organization)
    )


def _where_to_pay(organization: Organization) -> dict[str, Any]:
    path = reverse("billing:settings", args=[organization.slug])
    return {"billing_url": settings.SITE_URL + path}
