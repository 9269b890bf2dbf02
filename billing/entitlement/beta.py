"""Beta: while Stripe is not fully connected and nothing was ever sold, every feature is on.

Document 000. An installation that has billed once and loses a variable fails closed instead.
"""

import os
from collections.abc import Mapping
from typing import Final

from django.conf import settings

from billing import catalog
from billing.catalog.policies import EnvPrice
from billing.models import EffectivePlan, PlanPrice, Subscription

# Without a list of the document's own, connecting Stripe takes these two: variable → setting.
_OURS: Final[Mapping[str, str]] = {
    "STRIPE_SECRET_KEY": "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET": "STRIPE_WEBHOOK_SECRETS",
}


def missing() -> tuple[str, ...]:
    """The variables that Stripe still needs, by the names that the document uses."""
    required = catalog.current().beta.required_env
    if not required:
        return tuple(name for name, setting in _OURS.items() if not getattr(settings, setting))
    unset = [name for name in required if not _is_set(name)]
    published = _published(unset)
    return tuple(name for name in unset if name not in published)


def is_configured() -> bool:
    return not missing()


def has_ever_billed() -> bool:
    """Beta is over for good once the database has held a Stripe subscription."""
    return Subscription.objects.exists()


def is_on() -> bool:
    """A required licence decides instead; it is asked where plans are resolved."""
    return catalog.current().beta.enabled and not is_configured() and not has_ever_billed()


def is_lost() -> bool:
    """It has billed, and now a variable is missing: nothing is unlocked, somebody is told."""
    return catalog.current().beta.enabled and not is_configured() and has_ever_billed()


def is_outdated(row: EffectivePlan) -> bool:
    """Variables change with a restart, which no event announces."""
    return row.is_beta and catalog.current().beta.enabled and not is_on()


def _is_set(name: str) -> bool:
    alias = catalog.current().env.aliases.get(name, "")
    return bool(os.environ.get(name) or os.environ.get(alias))


def _published(names: list[str]) -> set[str]:
    """A price that `catalog apply` made or linked at Stripe has its id without a variable."""
    sold = catalog.current()
    prices = {name: sold.env.prices[name] for name in names if name in sold.env.prices}
    if not prices:
        return set()
    rows = PlanPrice.objects.purchasable().filter(plan__catalog=sold.key)
    linked = set(rows.values_list("plan__key", "interval", "currency"))
    return {name for name, price in prices.items() if _terms(price) in linked}


def _terms(price: EnvPrice) -> tuple[str, str, str]:
    return price.plan, price.interval, price.currency
