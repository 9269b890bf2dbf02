"""Automatic tax by a small table of countries; real rates depend on far more than this."""

from decimal import Decimal

from tests.stripe_simulator.money import rounded
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

# Country → (percentage, kind, name). Countries not listed collect nothing.
RATES = {
    "AU": (Decimal(10), "gst", "GST"),
    "CH": (Decimal("8.1"), "vat", "VAT"),
    "DE": (Decimal(19), "vat", "VAT"),
    "FR": (Decimal(20), "vat", "VAT"),
    "GB": (Decimal(20), "vat", "VAT"),
    "JP": (Decimal(10), "jct", "Consumption Tax"),
    "NL": (Decimal(21), "vat", "VAT"),
    "SG": (Decimal(9), "gst", "GST"),
    "VN": (Decimal(10), "vat", "VAT"),
}


def country_of(customer: Obj | None) -> str | None:
    address = (customer or {}).get("address") or {}
    country: str | None = address.get("country")
    return country


def rate_for(sim: Simulator, customer: Obj | None) -> Obj | None:
    """The tax rate of a customer's country as a Stripe object; None where none is due."""
    country = country_of(customer)
    if country not in RATES or (customer or {}).get("tax_exempt") in {"exempt", "reverse"}:
        return None
    percentage, kind, name = RATES[country]
    for rate in sim.store.scan("tax_rate"):
        if rate["country"] == country and rate["percentage"] == float(percentage):
            return rate
    return sim.create(
        "tax_rate",
        active=False,
        country=country,
        display_name=name,
        effective_percentage=float(percentage),
        jurisdiction=country,
        jurisdiction_level="country",
        percentage=float(percentage),
        rate_type="percentage",
        tax_type=kind,
        metadata={},
    )


def tax_on(amount: int, rate: Obj, *, inclusive: bool) -> int:
    """The tax within (inclusive) or on top of an amount, rounded once."""
    percentage = Decimal(str(rate["percentage"]))
    share = percentage / (100 + percentage) if inclusive else percentage / 100
    return rounded(amount * share)


def tax_entry(amount: int, taxable: int, rate: Obj, *, inclusive: bool) -> Obj:
    return {
        "amount": amount,
        "tax_behavior": "inclusive" if inclusive else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": "standard_rated",
        "taxable_amount": taxable,
        "type": "tax_rate_details",
    }
