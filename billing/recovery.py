"""What a restore from backup has to fetch again from Stripe, for whoever runs the installation."""

from billing.gateway import reconcile
from billing.gateway.reconcile import Report


def resync_everybody() -> Report:
    """Undelivered events of 30 days, then every customer from Stripe itself."""
    return reconcile.run(everybody=True)
