"""After an organization was closed: Stripe is asked to delete its customer, where policy says so.

Stripe keeps invoices as the law wants them; so do we.
"""

import structlog

from billing import catalog
from billing.exceptions import BillingError
from billing.gateway import stripe_api
from billing.gateway.stripe_api import Missing
from billing.models import BillingAccount
from billing.subscription import endings
from orgs import audit

logger = structlog.get_logger(__name__)


def delete_customers(limit: int = 100) -> int:
    """Those that pay for nothing more and are owed nothing; Stripe's event confirms it."""
    if not catalog.current().organizations.delete_customer_when_closed:
        return 0
    return sum(_delete(account) for account in BillingAccount.objects.of_closed()[:limit])


def _delete(account: BillingAccount) -> bool:
    organization, customer_id = account.organization, account.stripe_customer_id
    waits = organization.subscriptions.live().exists() or endings.owes_money(organization)
    if waits or customer_id is None:
        return False
    try:
        stripe_api.delete_customer(customer_id)
    except Missing:
        logger.info("stripe.customer_deleted_already", customer=customer_id)
    except BillingError as error:
        logger.warning("stripe.customer_not_deleted", customer=customer_id, error=error.code)
        return False
    audit.record("billing.customer_deleted", organization=organization, target=customer_id)
    return True
