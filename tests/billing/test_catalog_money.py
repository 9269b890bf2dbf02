"""Money is integer minor units; nothing is lost between the integer, the decimal and the page."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog import money

AMOUNTS = st.integers(-(10**14), 10**14)
CURRENCIES = st.sampled_from(sorted(money.CURRENCIES))
DIGITS = {"en": ",", "vi": "."}


@given(AMOUNTS, CURRENCIES)
def test_minor_units_survive_the_way_to_decimals_and_back(amount, currency):
    assert money.from_decimal(money.to_decimal(amount, currency), currency) == amount


@given(AMOUNTS, CURRENCIES, st.sampled_from(sorted(DIGITS)))
def test_the_written_amount_reads_back_as_the_same_integer(amount, currency, locale):
    whole_units = currency in money.WHOLE_UNITS_ONLY
    amount = amount * money.smallest_step(currency) if whole_units else amount

    text = money.format_money(amount, currency, locale)

    digits = int("".join(character for character in text if character.isdigit()))
    assert digits == abs(amount) // (100 if whole_units else 1)
    assert ("\N{MINUS SIGN}" in text) == (amount < 0)


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        (600, "usd", "en", "$6.00"),
        (600, "usd", "vi", "6,00 US$"),
        (150_000, "vnd", "en", "₫150,000"),
        (150_000, "vnd", "vi", "150.000 ₫"),
        (-1200, "usd", "en", "\N{MINUS SIGN}$12.00"),
        (5120, "kwd", "en", "KWD5.120"),
        (500, "isk", "en", "ISK5"),
        (1050, "lak", "en", "LAK10.50"),
        (600, "usd", "xx-nowhere", "$6.00"),
    ],
)
def test_people_read_money_as_their_locale_writes_it(amount, currency, locale, text):
    assert _plain(money.format_money(amount, currency, locale)) == text


def test_a_whole_price_may_be_written_short():
    assert money.format_money(600, "usd", "en", short=True) == "$6"
    assert money.format_money(650, "usd", "en", short=True) == "$6.50"


@pytest.mark.parametrize(
    ("rate", "currency", "text"),
    [("40", "usd", "$0.40"), ("0.04", "usd", "$0.0004"), ("10000", "vnd", "₫10,000")],
)
def test_a_rate_keeps_the_decimals_it_needs(rate, currency, text):
    assert money.format_rate(Decimal(rate), currency, "en") == text


@pytest.mark.parametrize("text", ["6.001", "six", "NaN", "Infinity", "1e-9"])
def test_an_amount_with_more_decimals_than_the_currency_is_refused(text):
    with pytest.raises(money.NotAnAmount):
        money.from_decimal(text, "usd")


@pytest.mark.parametrize("currency", ["xyz", "", "us", "btc"])
def test_a_currency_stripe_does_not_charge_is_refused(currency):
    with pytest.raises(money.UnknownCurrency):
        money.exponent(currency)


@pytest.mark.parametrize(
    ("units", "rate", "per", "amount"),
    [
        (24_425, "40", 1000, 977),  # the wireframe's $9.77
        (2_800, "40", 1000, 112),
        (1, "40", 1000, 0),
        (12, "40", 1000, 0),  # 0.48 of a cent
        (13, "40", 1000, 1),  # 0.52 of a cent
        (25, "0.02", 1, 1),  # exactly half a cent rounds up
        (1_500, "10000", 1000, 15_000),
    ],
)
def test_a_line_is_rounded_once_and_half_up(units, rate, per, amount):
    assert money.charge_for(units, rate=Decimal(rate), per=per) == amount


def _plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")
