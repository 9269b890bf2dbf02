"""Reading the audit trail: filters, pages of constant cost, rows for export."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.timezone import make_aware

from orgs.models import AuditEntry, Organization

# Entries about money, for those who may see billing pages.
MONEY_PREFIX = "billing."
COLUMNS = ("at", "actor", "acting_as", "action", "target", "before", "after", "request_id")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, kw_only=True)
class Filter:
    action: str = ""
    actor: str = ""
    since: date | None = None
    until: date | None = None  # that day included
    money: bool = False


def entries(organization: Organization, wanted: Filter) -> QuerySet[AuditEntry]:
    """Newest first."""
    found = AuditEntry.objects.filter(organization=organization)
    if not wanted.money:
        found = found.exclude(action__startswith=MONEY_PREFIX)
    if wanted.action:
        found = found.filter(action__startswith=wanted.action)
    if wanted.actor:
        found = found.filter(
            Q(actor_label__icontains=wanted.actor) | Q(acting_as__icontains=wanted.actor)
        )
    return _between(found, wanted.since, wanted.until).order_by("-at", "-pk")


def export(found: QuerySet[AuditEntry]) -> Iterator[list[str]]:
    """Rows for a spreadsheet, header first; no cell can be taken for a formula (E13)."""
    yield list(COLUMNS)
    for entry in found.iterator(chunk_size=1000):
        yield [formula_safe(cell) for cell in _cells(entry)]


def formula_safe(cell: str) -> str:
    """OWASP ASVS 1.2.10: a leading apostrophe makes a spreadsheet show the text."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _cells(entry: AuditEntry) -> tuple[str, ...]:
    return (
        entry.at.isoformat(),
        entry.actor_label or entry.get_actor_kind_display(),
        entry.acting_as,
        entry.action,
        entry.target,
        _json(entry.before),
        _json(entry.after),
        entry.request_id,
    )


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _between(
    found: QuerySet[AuditEntry], since: date | None, until: date | None
) -> QuerySet[AuditEntry]:
    if since is not None:
        found = found.filter(at__gte=_midnight(since))
    if until is not None:
        found = found.filter(at__lt=_midnight(until + timedelta(days=1)))
    return found


def _midnight(day: date) -> datetime:
    return make_aware(datetime.combine(day, time.min))
