"""Money is an integer of minor units with an ISO currency beside it; floats never touch it."""

from copy import copy
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache

from babel import Locale, UnknownLocaleError
from babel.numbers import NumberPattern
from django.utils.translation import get_language


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# How Stripe counts minor units (docs.stripe.com/currencies). CLDR's digits, which Babel knows, are
# about display and differ: it gives LAK, PKR or IQD none, and would drop their cents.
TWO_DECIMALS = _codes(
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd"
    " cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd"
    " hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd"
    " mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar"
    " ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah"
    " ugx usd uyu uzs wst xcd yer zar zmw"
)
NO_DECIMALS = _codes("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# Written with two decimals for old integrations, yet only whole units can be charged.
WHOLE_UNITS_ONLY = frozenset({"isk", "ugx"})
CURRENCIES = TWO_DECIMALS | NO_DECIMALS | THREE_DECIMALS


class UnknownCurrency(ValueError):
    """Stripe takes no charge in it, or the code is not an ISO currency."""


class NotAnAmount(ValueError):
    """The text is no number, or has more decimals than the currency."""


def exponent(currency: str) -> int:
    """How many decimals one minor unit stands for: 2 for USD, 0 for VND, 3 for KWD."""
    code = currency.lower()
    if code in TWO_DECIMALS:
        return 2
    if code in NO_DECIMALS:
        return 0
    if code in THREE_DECIMALS:
        return 3
    raise UnknownCurrency(f"{currency} is not a currency that Stripe charges")


def smallest_step(currency: str) -> int:
    """Chargeable amounts are multiples of this many minor units."""
    if currency.lower() in WHOLE_UNITS_ONLY:
        return 100
    return 10 if currency.lower() in THREE_DECIMALS else 1  # Stripe wants a last digit of 0


def to_decimal(amount: int, currency: str) -> Decimal:
    """In major units: 600 cents are 6.00 dollars."""
    return Decimal(amount).scaleb(-exponent(currency))


def from_decimal(value: Decimal | str, currency: str) -> int:
    """Minor units; refuses decimals that the currency does not have instead of rounding."""
    try:
        minor = Decimal(value).scaleb(exponent(currency))
    except InvalidOperation as error:
        raise NotAnAmount(f"{value!r} is not a number") from error
    if not minor.is_finite() or minor != minor.to_integral_value():
        raise NotAnAmount(f"{value} has more decimals than {currency.upper()}")
    return int(minor)


def charge_for(units: int, *, rate: Decimal, per: int) -> int:
    """Minor units for a whole line: the rate is decimal, and the line is rounded once, half up."""
    return int((Decimal(units) * rate / per).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def format_money(
    amount: int, currency: str, locale: str | None = None, *, short: bool = False
) -> str:
    """As people of the locale write it; `short` drops the decimals of whole amounts ($6)."""
    digits = _shown_digits(currency)
    if short and amount % 10 ** exponent(currency) == 0:
        digits = 0
    return _apply(to_decimal(amount, currency), currency, locale, (digits, digits))


def format_rate(rate: Decimal, currency: str, locale: str | None = None) -> str:
    """A decimal rate of minor units, with as many decimals as it needs: 0.04 cents → $0.0004."""
    value = (rate.scaleb(-exponent(currency))).normalize()
    digits = max(_shown_digits(currency), -int(value.as_tuple().exponent))
    return _apply(value, currency, locale, (digits, digits))


def babel_locale(locale: str | None = None) -> Locale:
    """The active language's unless one is named; English where Babel knows no such locale."""
    name = (locale or get_language() or "en").replace("-", "_")
    try:
        return Locale.parse(name)
    except (ValueError, UnknownLocaleError):
        return Locale.parse("en")


def _shown_digits(currency: str) -> int:
    return 0 if currency.lower() in WHOLE_UNITS_ONLY else exponent(currency)


def _apply(value: Decimal, currency: str, locale: str | None, digits: tuple[int, int]) -> str:
    found = babel_locale(locale)
    pattern = _pattern(str(found), digits)
    text = pattern.apply(value, found, currency=currency.upper(), currency_digits=False)
    return str(text).replace("-", "\N{MINUS SIGN}")


@cache
def _pattern(locale: str, digits: tuple[int, int]) -> NumberPattern:
    pattern: NumberPattern = copy(Locale.parse(locale).currency_formats["standard"])
    pattern.frac_prec = digits
    return pattern
