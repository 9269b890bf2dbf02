"""Monthly recurring revenue and what moved it, from the history of effective plans.

MRR of an organization: the list price of its subscription's plan x seats, a yearly price as a
twelfth, less what its coupons take off every invoice. Trials, contracts and other grants and usage
count nothing. Currencies are never added up.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

from django.db import connections
from django.utils import timezone

from billing.insight import discounts
from billing.insight.discounts import Discount
from billing.models import EffectivePlan, PlanPrice, Source
from orgs import replica

# Stripe's own trials are not paid for yet.
_UNPAID: Final = ("trialing", "incomplete", "incomplete_expired", "canceled")
_MONTHS: Final = {PlanPrice.Interval.MONTH: 1, PlanPrice.Interval.YEAR: 12}


@dataclass(frozen=True, slots=True)
class Paying:
    """What one organization pays in a month; an exact fraction of minor units of `currency`."""

    currency: str
    amount: Fraction


Book = Mapping[UUID, Paying]
NOTHING: Final = Fraction(0)

# The last answer of each organization before an instant; what it was told then is what we knew.
_AT = """
SELECT DISTINCT ON (organization_id)
    organization_id, source, status, price_id, seats, currency, subscription_id
FROM billing_effectiveplanchange WHERE recorded_at < %s
ORDER BY organization_id, sequence DESC
"""
_COLUMNS: Final = (
    "organization_id", "source", "status", "price_id", "seats", "currency", "subscription_id",
)  # fmt: skip
_EVER = """
SELECT DISTINCT organization_id FROM billing_effectiveplanchange
WHERE recorded_at < %s AND source = %s AND NOT status = ANY (%s)
"""


@dataclass(kw_only=True)
class Movement:
    """Of one currency between two instants: start + new + returned + more - less - lost = end."""

    currency: str
    start: Fraction = Fraction(0)
    new: Fraction = Fraction(0)
    returned: Fraction = Fraction(0)
    more: Fraction = Fraction(0)
    less: Fraction = Fraction(0)
    lost: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    logos_start: int = 0
    logos_lost: int = 0
    logos_end: int = 0

    @property
    def logo_churn(self) -> Fraction | None:
        return Fraction(self.logos_lost, self.logos_start) if self.logos_start else None

    @property
    def gross_churn(self) -> Fraction | None:
        return (self.lost + self.less) / self.start if self.start else None

    @property
    def net_churn(self) -> Fraction | None:
        """Below zero where those who stayed grew by more than was lost."""
        return (self.lost + self.less - self.more) / self.start if self.start else None


@dataclass(frozen=True, kw_only=True)
class Revenue:
    """`unknown` are prices that no catalogue of ours has ever sold: they count nothing."""

    since: datetime
    until: datetime
    movements: tuple[Movement, ...]
    unknown: frozenset[str] = field(default_factory=frozenset)


def between(since: datetime, until: datetime) -> Revenue:
    """Seven queries, however many organizations there are."""
    amounts = _amounts()
    unknown: set[str] = set()
    start, end = _book(since, amounts, unknown), _book(until, amounts, unknown)
    return Revenue(
        since=since,
        until=until,
        movements=tuple(_movements(start, end, _paid_before(since))),
        unknown=frozenset(unknown),
    )


def present(organizations: Iterable[UUID] | None = None, *, discounted: bool = True) -> Book:
    """Who pays what now, or would by the list; of some organizations, or of all."""
    rows = EffectivePlan.objects.filter(source=Source.STRIPE, organization__closed_at=None)
    if organizations is not None:
        rows = rows.filter(organization_id__in=list(organizations))
    found = rows.values_list(*_COLUMNS)
    taken_off = discounts.held_at(timezone.now()) if discounted else {}
    return _paying(found, _Terms(_amounts(), taken_off), set())


def totals(book: Book) -> dict[str, Fraction]:
    """By currency."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for paying in book.values():
        sums[paying.currency] += paying.amount
    return dict(sorted(sums.items()))


def rounded(amount: Fraction) -> int:
    """To whole minor units, half up, once: at the end."""
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def monthly(unit_amount: int, interval: str, seats: int) -> Fraction:
    return Fraction(unit_amount * seats, _MONTHS[PlanPrice.Interval(interval)])


Terms = tuple[int, str, bool]  # minor units, interval, per seat
_Answer = tuple[UUID, str, str, str, int, str, str]


@dataclass(frozen=True, slots=True)
class _Terms:
    """List prices by Stripe's price, and what is taken off by Stripe's subscription."""

    amounts: Mapping[str, Terms]
    taken_off: Mapping[str, list[Discount]]


def _amounts() -> dict[str, Terms]:
    """Archived prices too: their subscribers still pay them."""
    rows = PlanPrice.objects.exclude(stripe_price_id=None)
    found = rows.values_list("stripe_price_id", "unit_amount", "interval", "plan__per_seat")
    return {str(price): (amount, interval, seat) for price, amount, interval, seat in found}


def _book(at: datetime, amounts: Mapping[str, Terms], unknown: set[str]) -> Book:
    with connections[replica.alias()].cursor() as cursor:
        cursor.execute(_AT, [at])
        answers = cursor.fetchall()
    return _paying(answers, _Terms(amounts, discounts.held_at(at)), unknown)


def _paying(answers: Iterable[_Answer], terms: _Terms, unknown: set[str]) -> dict[UUID, Paying]:
    found = {}
    for organization, source, status, price_id, seats, currency, subscription in answers:
        if source != Source.STRIPE or status in _UNPAID:
            continue
        sold = terms.amounts.get(price_id)
        if sold is None:
            unknown.add(price_id)
            continue
        amount, interval, per_seat = sold
        monthly_amount = discounts.net(
            monthly(amount, interval, seats if per_seat else 1),
            currency,
            _MONTHS[PlanPrice.Interval(interval)],
            terms.taken_off.get(subscription, ()),
        )
        if monthly_amount:
            found[organization] = Paying(currency, monthly_amount)
    return found


def _paid_before(at: datetime) -> set[UUID]:
    with connections[replica.alias()].cursor() as cursor:
        cursor.execute(_EVER, [at, Source.STRIPE, list(_UNPAID)])
        return {organization for (organization,) in cursor.fetchall()}


def _movements(start: Book, end: Book, before: set[UUID]) -> Iterable[Movement]:
    found: dict[str, Movement] = {}
    for organization in start.keys() | end.keys():
        old, new = start.get(organization), end.get(organization)
        if old is not None and new is not None and old.currency == new.currency:
            _stayed(_of(found, old.currency), old.amount, new.amount)
            continue
        if old is not None:
            _left(_of(found, old.currency), old.amount)
        if new is not None:
            _came(_of(found, new.currency), new.amount, again=organization in before)
    return [found[currency] for currency in sorted(found)]


def _of(found: dict[str, Movement], currency: str) -> Movement:
    return found.setdefault(currency, Movement(currency=currency))


def _stayed(movement: Movement, old: Fraction, new: Fraction) -> None:
    movement.start += old
    movement.end += new
    movement.more += max(new - old, Fraction(0))
    movement.less += max(old - new, Fraction(0))
    movement.logos_start += 1
    movement.logos_end += 1


def _left(movement: Movement, old: Fraction) -> None:
    movement.start += old
    movement.lost += old
    movement.logos_start += 1
    movement.logos_lost += 1


def _came(movement: Movement, new: Fraction, *, again: bool) -> None:
    movement.end += new
    movement.logos_end += 1
    if again:
        movement.returned += new
    else:
        movement.new += new
