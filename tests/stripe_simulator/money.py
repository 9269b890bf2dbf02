"""Amounts: whole minor units, rounded once per line, written the way people read them."""

from decimal import ROUND_HALF_UP, Decimal

from tests.stripe_simulator.store import Obj

# Stripe's list of currencies without a minor unit.
ZERO_DECIMAL = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
}  # fmt: skip
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def exponent(currency: str) -> int:
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def rounded(amount: Decimal) -> int:
    """Half up, away from zero for credits, as on a printed invoice."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def written(amount: int, currency: str) -> str:
    """$12.00, 299.000 ₫, 12.00 CHF: for pages and documents."""
    digits = exponent(currency)
    sign = "-" if amount < 0 else ""
    number = f"{Decimal(abs(amount)).scaleb(-digits):,.{digits}f}"
    if currency == "vnd":
        return f"{sign}{number.replace(',', '.')} ₫"
    if currency in SYMBOLS:
        return f"{sign}{SYMBOLS[currency]}{number}"
    return f"{sign}{number} {currency.upper()}"


def price_in(price: Obj, currency: str) -> Obj | None:
    """A price's amounts in one currency, or None where it is not sold in it."""
    options: Obj = price["_sim"]["currency_options"]
    found: Obj | None = options.get(currency)
    return found


def amount_of(price: Obj, quantity: int, currency: str) -> int:
    """What a quantity costs: per unit, in packages, or by tiers."""
    terms = price_in(price, currency)
    assert terms is not None
    if price["billing_scheme"] == "tiered":
        return _tiered(terms["tiers"], quantity, price["tiers_mode"])
    packages = price.get("transform_quantity")
    if packages:
        whole, rest = divmod(quantity, packages["divide_by"])
        quantity = whole + (1 if rest and packages["round"] == "up" else 0)
    return rounded(Decimal(terms["unit_amount_decimal"]) * quantity)


def amount_of_usage(price: Obj, used: Decimal, currency: str) -> int:
    """What metered usage costs; fractions of a unit are paid for as such, rounded once."""
    terms = price_in(price, currency)
    assert terms is not None
    if price["billing_scheme"] == "tiered" or price.get("transform_quantity"):
        return amount_of(price, int(used.to_integral_value()), currency)
    return rounded(Decimal(terms["unit_amount_decimal"]) * used)


def _tiered(tiers: list[Obj], quantity: int, mode: str) -> int:
    if mode == "volume":
        tier = next(
            (one for one in tiers if one["up_to"] is None or quantity <= one["up_to"]), tiers[-1]
        )
        return _tier_amount(tier, quantity)
    total, below = 0, 0
    for tier in tiers:
        top = quantity if tier["up_to"] is None else min(quantity, tier["up_to"])
        if top > below or (below == 0 and quantity == 0):
            total += _tier_amount(tier, max(top - below, 0))
        below = max(below, top)
        if top >= quantity:
            break
    return total


def _tier_amount(tier: Obj, units: int) -> int:
    unit = Decimal(tier["unit_amount_decimal"] or 0)
    flat = Decimal(tier["flat_amount_decimal"] or 0)
    return rounded(unit * units + flat)
