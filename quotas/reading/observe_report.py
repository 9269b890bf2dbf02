"""The observe report: whom enforcement would refuse, how often, and what they pay us.

Two figures per line. `flagged` is what observe mode let pass; `calls` is what enforcement would
have refused since the same instant (see forecast). At stake is the MRR of who would be refused.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, Max, Min, Sum
from django.utils import timezone

from billing.insight import revenue
from billing.insight.revenue import Book
from billing.models import EffectivePlan
from orgs import replica
from orgs.audit_log import formula_safe
from orgs.models import Organization
from quotas.models import (
    Balance,
    Credit,
    Enforcement,
    Observation,
    UsageEvent,
    UsageLimit,
)
from quotas.reading.forecast import Forecast, Refused, Row, Terms

DAYS: Final = 30
CSV_COLUMNS: Final = (
    "organization", "name", "plan", "kind", "subject", "reason", "flagged", "calls", "amount",
    "first_at", "last_at", "currency", "monthly_minor_units",
)  # fmt: skip
_LEDGER: Final = "ledger"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One organization, subject and reason. `kind` is where it was seen."""

    organization: Organization
    plan: str
    kind: str
    subject: str
    reason: str
    flagged: int
    calls: int
    amount: int
    first_at: datetime
    last_at: datetime
    paying: revenue.Paying | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """`at_stake` by currency: the MRR of every organization that would be refused, counted once."""

    since: datetime
    until: datetime
    lines: tuple[Line, ...]
    at_stake: Mapping[str, Fraction]

    @property
    def calls(self) -> int:
        return sum(line.calls for line in self.lines)

    @property
    def organizations(self) -> int:
        return len({line.organization.pk for line in self.lines if line.calls})


@dataclass(frozen=True, kw_only=True)
class _Sum:
    organization: UUID
    kind: str
    subject: str
    reason: str
    flagged: int
    calls: int
    amount: int
    first_at: datetime
    last_at: datetime


@replica.report
def of(since: datetime | None = None, until: datetime | None = None) -> Report:
    """The queries are as many for one organization as for a thousand."""
    until = until or timezone.now()
    since = since or until - timedelta(days=DAYS)
    sums = [*_from_ledger(since, until), *_from_observations(since, until)]
    concerned = {each.organization for each in sums}
    names = Organization.objects.in_bulk(concerned)
    book = revenue.present({each.organization for each in sums if each.calls}, discounted=False)
    plans = dict(
        EffectivePlan.objects.filter(organization_id__in=concerned).values_list(
            "organization_id", "plan__key"
        )
    )
    lines = [_line(each, names, plans, book) for each in sums if each.organization in names]
    lines.sort(key=lambda line: (-line.calls, -line.flagged, line.organization.slug, line.subject))
    return Report(since=since, until=until, lines=tuple(lines), at_stake=revenue.totals(book))


def export(report: Report) -> Iterator[list[str]]:
    """Rows for a spreadsheet, header first; no cell can be taken for a formula (E13)."""
    yield list(CSV_COLUMNS)
    for line in report.lines:
        yield [formula_safe(cell) for cell in _cells(line)]


def _cells(line: Line) -> tuple[str, ...]:
    paying = line.paying
    return (
        line.organization.slug,
        line.organization.name,
        line.plan,
        line.kind,
        line.subject,
        line.reason,
        str(line.flagged),
        str(line.calls),
        str(line.amount),
        line.first_at.isoformat(),
        line.last_at.isoformat(),
        paying.currency.upper() if paying else "",
        str(revenue.rounded(paying.amount)) if paying else "",
    )


def _line(
    each: _Sum, names: Mapping[UUID, Organization], plans: Mapping[UUID, str], book: Book
) -> Line:
    return Line(
        organization=names[each.organization],
        plan=plans.get(each.organization, ""),
        kind=each.kind,
        subject=each.subject,
        reason=each.reason,
        flagged=each.flagged,
        calls=each.calls,
        amount=each.amount,
        first_at=each.first_at,
        last_at=each.last_at,
        paying=book.get(each.organization),
    )


# --- From the ledger --------------------------------------------------------------------------


def _from_ledger(since: datetime, until: datetime) -> list[_Sum]:
    flagged = _flagged(since, until)
    subjects = {(row["organization_id"], row["meter"]) for row in flagged}
    refused = _refusals(subjects, since, until)
    return [
        _Sum(
            organization=row["organization_id"],
            kind=_LEDGER,
            subject=row["meter"],
            reason=row["reason"],
            flagged=row["rows"],
            calls=len(refused[row["organization_id"], row["meter"], row["reason"]]),
            amount=sum(
                found.amount
                for found in refused[row["organization_id"], row["meter"], row["reason"]]
            ),
            first_at=row["first"],
            last_at=row["last"],
        )
        for row in flagged
    ]


def _flagged(since: datetime, until: datetime) -> list[dict[str, Any]]:
    rows = _recorded(since, until).filter(
        accepted=True, reason__isnull=False, enforcement=Enforcement.OBSERVE
    )
    return list(
        rows.values("organization_id", "meter", "reason")
        .annotate(rows=Count("sequence"), first=Min("recorded_at"), last=Max("recorded_at"))
        .order_by("organization_id", "meter", "reason")
    )


def _refusals(
    subjects: set[tuple[UUID, str]], since: datetime, until: datetime
) -> Mapping[tuple[UUID, str, str], list[Refused]]:
    found: dict[tuple[UUID, str, str], list[Refused]] = defaultdict(list)
    terms = _terms(subjects)
    for organization, rows in _by_organization(subjects, since, until):
        for refused in Forecast(terms[organization]).of(rows):
            found[organization, refused.meter, refused.reason].append(refused)
    return found


def _by_organization(
    subjects: set[tuple[UUID, str]], since: datetime, until: datetime
) -> Iterator[tuple[UUID, list[Row]]]:
    organizations = {organization for organization, _meter in subjects}
    ledger = (
        _recorded(since, until)
        .filter(organization_id__in=organizations, meter__in={meter for _org, meter in subjects})
        .order_by("organization_id", "sequence")
        .values_list("organization_id", *Row._fields)
    )
    rows: list[Row] = []
    present: UUID | None = None
    for organization, *values in ledger.iterator(chunk_size=5_000):
        if organization != present and present is not None:
            yield present, rows
            rows = []
        present = organization
        rows.append(Row(*values))
    if present is not None:
        yield present, rows


def _terms(subjects: set[tuple[UUID, str]]) -> Mapping[UUID, dict[str, Terms]]:
    organizations = {organization for organization, _meter in subjects}
    pools = _pools(organizations)
    found: dict[UUID, dict[str, Terms]] = defaultdict(dict)
    for limit in UsageLimit.objects.filter(organization_id__in=organizations):
        place = (limit.organization_id, limit.meter)
        found[limit.organization_id][limit.meter] = Terms(
            kind=limit.kind, hard=limit.hard, cap=limit.overage_cap, pool=pools[place]
        )
    return found


def _pools(organizations: Iterable[UUID]) -> Counter[tuple[UUID, str]]:
    """Credits burned in the running periods and credits left: burning moves them, no more."""
    pools: Counter[tuple[UUID, str]] = Counter()
    now = timezone.now()
    left = (
        Credit.objects.filter(organization_id__in=organizations, remaining__gt=0)
        .exclude(expires_at__lte=now)
        .values_list("organization_id", "meter")
        .annotate(left=Sum("remaining"))
    )
    burned = (
        Balance.objects.filter(
            organization_id__in=organizations, credited__gt=0, period_end__gt=now
        )
        .values_list("organization_id", "meter")
        .annotate(burned=Sum("credited"))
    )
    for organization, meter, units in [*left, *burned]:
        pools[organization, meter] += units
    return pools


def _recorded(since: datetime, until: datetime) -> Any:
    month = since.astimezone(UTC).date().replace(day=1)
    return UsageEvent.objects.filter(
        month__gte=month, recorded_at__gte=since, recorded_at__lt=until
    )


# --- From what the ledger does not tell -------------------------------------------------------


def _from_observations(since: datetime, until: datetime) -> list[_Sum]:
    rows = (
        Observation.objects.filter(day__gte=_day(since), day__lte=_day(until))
        .values("organization_id", "source", "subject", "reason")
        .annotate(
            seen=Sum(F("calls")), units=Sum(F("amount")), first=Min("first_at"), last=Max("last_at")
        )
        .order_by("organization_id", "source", "subject")
    )
    return [
        _Sum(
            organization=row["organization_id"],
            kind=row["source"],
            subject=row["subject"],
            reason=row["reason"],
            flagged=row["seen"],
            calls=row["seen"],
            amount=row["units"],
            first_at=row["first"],
            last_at=row["last"],
        )
        for row in rows
    ]


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
