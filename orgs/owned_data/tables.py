"""What goes into the archive: every floor registers the tables that it keeps.

Rows are read page by page, so that a ledger of millions fits into a small memory.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet

from orgs.models import Organization

PAGE = 2000
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose rows, and up to which instant: what grows meanwhile is left to the next archive."""

    organization: Organization
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Table:
    """One CSV and one JSON file. `columns` say what is in them, in their order."""

    name: str
    about: str
    columns: Mapping[str, str]
    rows: Callable[[Scope], Iterator[Row]]
    count: Callable[[Scope], int]


_TABLES: dict[str, Table] = {}


def register(*tables: Table) -> None:
    _TABLES.update({table.name: table for table in tables})


def all_tables() -> list[Table]:
    return list(_TABLES.values())


def of_model(
    name: str, about: str, columns: Mapping[str, str], found: Callable[[Scope], QuerySet[Any]]
) -> Table:
    """A column is a field of the model, or a path to one (`user__email`), told by its name."""
    fields = [column.replace(".", "__") for column in columns]
    return Table(
        name=name,
        about=about,
        columns=columns,
        rows=lambda scope: in_pages(found(scope), fields),
        count=lambda scope: found(scope).count(),
    )


def in_pages(found: QuerySet[Any], fields: list[str]) -> Iterator[Row]:
    """By the primary key, each page starting after the last: no long transaction, no cursor."""
    ordered, last = found.order_by("pk"), None
    while True:
        page = ordered if last is None else ordered.filter(pk__gt=last)
        rows = list(page.values_list("pk", *fields)[:PAGE])
        for row in rows:
            yield row[1:]
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def mine(model: type[Model]) -> Callable[[Scope], QuerySet[Any]]:
    return lambda scope: model._default_manager.filter(organization=scope.organization)  # noqa: SLF001  Django documents it
