"""Stripe's customer of an organization: made once, in the background, on its own test clock."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.entitlement import store
from billing.exceptions import StripeUnavailable
from billing.gateway import locks, stripe_api
from billing.gateway.stripe_api import KeyReused
from billing.models import BillingAccount, CustomerTransfer
from orgs.models import Organization

# Stripe forgets idempotency keys after 24 hours; from then on we look before we create (B16).
_KEY_LIFETIME = timedelta(hours=23)


def ensure(organization: Organization) -> BillingAccount:
    """The organization's account with a customer id; exactly one under parallel calls (B18).

    A customer that was deleted at Stripe is followed by a new one when somebody buys again. Raises
    StripeUnavailable, after which a retry finds the same customer, or NotConfigured.
    """
    account, _ = BillingAccount.objects.get_or_create(organization=organization)
    if _has_customer(account) or not stripe_api.is_configured():
        return account
    with transaction.atomic():
        locks.wait_for(f"customer-of:{organization.pk}")
        account.refresh_from_db()
        if not _has_customer(account):
            _create(account)
    return account


def _has_customer(account: BillingAccount) -> bool:
    return account.stripe_customer_id is not None and account.customer_deleted_at is None


def _create(account: BillingAccount) -> None:
    customer = _forgotten(account) or _created(account)
    account.stripe_customer_id = customer["id"]
    account.livemode = settings.STRIPE_LIVE_MODE
    account.test_clock_id = customer.get("test_clock") or ""
    if account.test_clock_id:
        account.frozen_at = _clock_start(account)
    account.customer_deleted_at = None
    account.save(
        update_fields=[
            "stripe_customer_id", "livemode", "test_clock_id", "frozen_at", "customer_deleted_at"
        ]
    )  # fmt: skip
    store.rederive(account.organization, cause="customer created")


def _created(account: BillingAccount) -> dict[str, Any]:
    """Same key, other name: the first request arrived, so its customer is there to be found."""
    try:
        return stripe_api.create_customer(_params(account), key=_key("customer", account))
    except KeyReused:
        found = _find(account)
    if found is None:
        raise StripeUnavailable("Stripe is still making this customer.")
    return found


def _forgotten(account: BillingAccount) -> dict[str, Any] | None:
    return _find(account) if timezone.now() - account.created_at >= _KEY_LIFETIME else None


def _find(account: BillingAccount) -> dict[str, Any] | None:
    return stripe_api.find_customer(
        str(account.organization_id),
        since=int(account.created_at.timestamp()),
        on_clock=settings.STRIPE_TEST_CLOCKS,
        not_in=_given_away(account),
    )


def _params(account: BillingAccount) -> dict[str, Any]:
    organization = account.organization
    params: dict[str, Any] = {
        "name": organization.name,
        "email": organization.email,
        "preferred_locales": [organization.language],
        "metadata": {"organization": str(organization.pk), "slug": organization.slug},
    }
    if settings.STRIPE_TEST_CLOCKS:
        params["test_clock"] = stripe_api.create_test_clock(
            frozen_time=int(_clock_start(account).timestamp()),
            name=str(organization.pk),
            key=_key("clock", account),
        )["id"]
    return params


def _clock_start(account: BillingAccount) -> datetime:
    """An organization's time never goes backwards, not even with a new customer.

    Stripe's clocks know whole seconds. The next one is taken: an instant before the organization
    was made would lie in the usage month before its first.
    """
    return account.frozen_at or account.created_at.replace(microsecond=0) + timedelta(seconds=1)


def _key(kind: str, account: BillingAccount) -> str:
    """The mode is part of it: a database moved from test to live must not find old answers.

    So is the customer that was deleted or given away, for the one that follows it.
    """
    mode = "live" if settings.STRIPE_LIVE_MODE else "test"
    former = account.stripe_customer_id or max(_given_away(account), default="")
    return f"{kind}:{mode}:{account.organization_id}" + (f":{former}" if former else "")


def _given_away(account: BillingAccount) -> frozenset[str]:
    """Customers that another organization has now, whatever their metadata still says."""
    given = CustomerTransfer.objects.filter(source=account.organization_id)
    return frozenset(given.values_list("customer_id", flat=True))
