"""The meters of the catalogue as the engine sees them."""

from billing import catalog
from billing.catalog.schema import Meter, Reset
from quotas.exceptions import UnknownMeter
from quotas.models import PeriodRule

MEMBERS = "members"

_RULES: dict[Reset, PeriodRule] = {
    "billing_period": PeriodRule.BILLING,
    "invoice_paid": PeriodRule.PAID,
    "calendar_month": PeriodRule.MONTH,
    "day": PeriodRule.DAY,
    "hour": PeriodRule.HOUR,
    "never": PeriodRule.NEVER,
}


def meter(key: str) -> Meter:
    """Raises UnknownMeter, naming what there is."""
    found = catalog.current().meters.get(key)
    if found is None:
        known = ", ".join(sorted(catalog.current().meters))
        raise UnknownMeter(f"There is no meter “{key}”. There are: {known}.", field="meter")
    return found


def period_rule(key: str) -> PeriodRule:
    """Only flows start again; the others count for ever."""
    found = meter(key)
    return _RULES[found.reset] if found.kind == "flow" else PeriodRule.NEVER


def cache_keys() -> dict[str, str]:
    """The meters whose reading a product publishes in Redis, each with the key's template."""
    return {
        key: found.cache_key for key, found in catalog.current().meters.items() if found.cache_key
    }
