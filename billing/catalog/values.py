"""The scalars of a catalogue file: texts per locale, amounts, prices, decimal rates."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.utils.translation import get_language
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    Strict,
    StringConstraints,
    model_validator,
)

from billing.catalog import money

LARGEST_AMOUNT = 10**15  # of any usage; DESIGN 1
UNLIMITED = "unlimited"  # TOML has no null, and a forgotten limit must not read as unlimited

# The documents' MB and GB are 2^20 and 2^30.
_SIZES = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_DURATIONS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_WRITTEN_AMOUNT = re.compile(r"(\d{1,16}) ?([A-Za-z]+)")

Interval = Literal["month", "year"]
Per = Literal["organization", "seat", "member"]


class Entry(BaseModel):
    """Every table of a catalogue: frozen, and an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _read_amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(_amount_refusal(value))  # noqa: TRY004  pydantic reports ValueError
    number = value if isinstance(value, int) else _written_amount(value)
    if number is not None and not 0 <= number <= LARGEST_AMOUNT:
        raise ValueError(f"{value} is outside 0 to 10^15")
    return number


def _written_amount(text: str) -> int | None:
    if text == UNLIMITED:
        return None
    found = _WRITTEN_AMOUNT.fullmatch(text)
    unit = (_SIZES | _DURATIONS).get(found[2]) if found else None
    if found is None or unit is None:
        raise ValueError(_amount_refusal(text))
    return int(found[1]) * unit


def read_amount(text: str) -> int | None:
    """What people type into a form: `5`, `2 GB`, `unlimited`. Raises ValueError."""
    found: int | None = _read_amount(int(text) if text.isdecimal() else text)
    return found


def _amount_refusal(value: object) -> str:
    return f'{value!r} is no amount; write 5, "2 GB", "50 h" or "{UNLIMITED}"'


def _read_rate(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
        raise ValueError(f'{value!r} is no rate; write minor units as a decimal string: "0.04"')
    return Decimal(value)


def _known_currency(code: str) -> str:
    if code not in money.CURRENCIES:
        raise ValueError(f"{code!r} is not a currency that Stripe charges (write it lower-case)")
    return code


Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=64)]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,80}$")]
Currency = Annotated[str, AfterValidator(_known_currency)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]
# None is unlimited, 0 is nothing.
Amount = Annotated[int | None, BeforeValidator(_read_amount)]
FiniteAmount = Annotated[int, BeforeValidator(_read_amount)]
Rate = Annotated[Decimal, BeforeValidator(_read_rate)]
NotEmpty = Annotated[str, StringConstraints(min_length=1, max_length=600)]


class Text(RootModel[Mapping[Locale, NotEmpty]]):
    """One sentence in every locale of the catalogue; `str()` picks the active language's."""

    model_config = ConfigDict(frozen=True)

    def say(self, locale: str | None = None) -> str:
        """In the given locale, else the active one, else the first that the file names."""
        wanted = locale or get_language() or ""
        found = self.root.get(wanted) or self.root.get(wanted.split("-")[0])
        return found or next(iter(self.root.values()), "")

    def __str__(self) -> str:
        return self.say()


class Price(Entry):
    """Minor units. `assumed` marks an amount that the source document does not state."""

    amount: Annotated[Int, Field(ge=0, le=10**12)]
    assumed: Bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """`month.usd = 600` is short for `month.usd = { amount = 600 }`."""
        return {"amount": value} if isinstance(value, int) else value


Prices = Mapping[Interval, Mapping[Currency, Price]]
OneOffPrices = Mapping[Currency, Price]
