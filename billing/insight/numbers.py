"""The business in numbers, each with its formula: revenue, churn, conversion, debts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from django.utils import timezone

from billing.insight import funnel, revenue
from billing.insight.funnel import Owed, Trials, Upgrades
from billing.insight.revenue import Movement, Revenue
from orgs import replica
from orgs.audit_log import formula_safe

DAYS: Final = 30
CSV_COLUMNS: Final = ("metric", "currency", "value", "unit", "since", "until")


@dataclass(frozen=True, kw_only=True)
class Numbers:
    revenue: Revenue
    upgrades: Upgrades
    trials: Trials
    owed: list[Owed]


@replica.report
def of(since: datetime | None = None, until: datetime | None = None) -> Numbers:
    """As many queries for one organization as for a thousand."""
    until = until or timezone.now()
    since = since or until - timedelta(days=DAYS)
    return Numbers(
        revenue=revenue.between(since, until),
        upgrades=funnel.upgrades(since, until),
        trials=funnel.trials(since, until),
        owed=funnel.owed(),
    )


def export(numbers: Numbers) -> Iterator[list[str]]:
    """One figure per row; money in minor units of its own currency, rates as fractions of one."""
    yield list(CSV_COLUMNS)
    span = [numbers.revenue.since.isoformat(), numbers.revenue.until.isoformat()]
    for metric, currency, value, unit in _figures(numbers):
        yield [formula_safe(cell) for cell in (metric, currency, value, unit, *span)]


def percent(rate: Fraction | None) -> str:
    """One decimal; empty where there is nothing to divide by."""
    return "" if rate is None else f"{float(rate * 100):.1f} %"


_Figure = tuple[str, str, str, str]


def _figures(numbers: Numbers) -> Iterator[_Figure]:
    for movement in numbers.revenue.movements:
        yield from _of_movement(movement)
    counts = {
        "plans_looked_at": numbers.upgrades.looked,
        "checkouts_opened": numbers.upgrades.ordered,
        "checkouts_paid": numbers.upgrades.paid,
        "trials_began": numbers.trials.began,
        "trials_converted": numbers.trials.converted,
        "trials_ended": numbers.trials.ended,
        "trials_running": numbers.trials.running,
    }
    for metric, count in counts.items():
        yield metric, "", str(count), "organizations"
    yield "upgrade_conversion", "", _ratio(numbers.upgrades.rate), "ratio"
    yield "trial_conversion", "", _ratio(numbers.trials.rate), "ratio"
    for owed in numbers.owed:
        yield "past_due", owed.currency.upper(), str(owed.amount), "minor units"
        yield "past_due", owed.currency.upper(), str(owed.organizations), "organizations"


def _of_movement(movement: Movement) -> Iterator[_Figure]:
    currency = movement.currency.upper()
    for metric in ("start", "new", "returned", "more", "less", "lost", "end"):
        amount = revenue.rounded(getattr(movement, metric))
        yield f"mrr_{metric}", currency, str(amount), "minor units"
    for metric in ("logos_start", "logos_lost", "logos_end"):
        yield metric, currency, str(getattr(movement, metric)), "organizations"
    for metric in ("logo_churn", "gross_churn", "net_churn"):
        yield metric, currency, _ratio(getattr(movement, metric)), "ratio"


def _ratio(rate: Fraction | None) -> str:
    return "" if rate is None else f"{float(rate):.4f}"
