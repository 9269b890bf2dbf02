"""What a migration may do while the previous release's code still runs on the same tables."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
)
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED
from django.db.models.expressions import Expression, Value
from django.db.models.functions import Now

ROOT = Path(__file__).resolve().parents[2]
PREVIOUS: Final[dict[str, Any]] = tomllib.loads(
    (ROOT / "deploy" / "previous-release.toml").read_text(encoding="utf-8")
)
# They grow with use: to lock one while an index is built, or to rewrite it, is an outage.
BIG: Final = frozenset(
    {
        "billing_effectiveplanchange",
        "billing_inboxevent",
        "billing_invoice",
        "billing_outboxmessage",
        "notice_delivery",
        "orgs_auditentry",
        "plan_usage",
        "quota_head",
        "usage_event",
        "usage_limit",
        "usage_reservation",
        "usage_rollup",
    }
)
_CONCURRENT = (AddIndexConcurrently, RemoveIndexConcurrently)
_TAKES_AWAY = (
    ops.RemoveField,
    ops.DeleteModel,
    ops.RenameField,
    ops.RenameModel,
    ops.AlterModelTable,
)
_SQL_THAT_TAKES_AWAY = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|FUNCTION)\b|\bRENAME\b|\bSET\s+NOT\s+NULL\b"
    r"|\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE\b",
    re.IGNORECASE,
)
_SQL_THAT_LOCKS = re.compile(
    r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)|\bVACUUM\s+FULL\b|\bCLUSTER\b"
    r"|\bLOCK\s+TABLE\b|\bREINDEX\b(?!.*CONCURRENTLY)",
    re.IGNORECASE,
)


def is_new(migration: Migration, graph: MigrationGraph) -> bool:
    """Whether the previous release has never seen it."""
    node = (migration.app_label, PREVIOUS["migrations"][migration.app_label])
    return (migration.app_label, migration.name) not in graph.forwards_plan(node)


def broken(migration: Migration, before: ProjectState) -> list[str]:
    """Every rule that the migration breaks, as a sentence; `before` is the state it starts from."""
    state = before.clone()
    made: set[str] = set()
    found = [*_mixed(migration)]
    for operation in migration.operations:
        for one in _really_done(operation):
            found += [f"{migration}: {said}" for said in _judged(one, migration, state, made)]
        operation.state_forwards(migration.app_label, state)
        if isinstance(operation, ops.CreateModel):
            made.add(operation.name_lower)
    return found


def _really_done(operation: Operation) -> Iterator[Operation]:
    """Taking a field from the state alone is the first of the two steps, and touches no table."""
    if isinstance(operation, ops.SeparateDatabaseAndState):
        yield from operation.database_operations
    else:
        yield operation


def _mixed(migration: Migration) -> Iterator[str]:
    done = [one for each in migration.operations for one in _really_done(each)]
    concurrent = [isinstance(one, _CONCURRENT) for one in done]
    if any(concurrent) and (migration.atomic or not all(concurrent)):
        yield f"{migration}: builds concurrently, so it is not atomic and does nothing else"
    if not any(concurrent) and not migration.atomic and not _only_moves_data(done):
        yield f"{migration}: not atomic, so it has no lock timeout and may stop half-way"
    if any(isinstance(one, ops.RunPython) for one in done) and not _only_moves_data(done):
        yield f"{migration}: moves data and changes tables; each needs a migration of its own"


def _only_moves_data(done: list[Operation]) -> bool:
    return all(isinstance(one, ops.RunPython) for one in done)


def _judged(
    one: Operation, migration: Migration, state: ProjectState, made: set[str]
) -> Iterator[str]:
    for kinds, rule in _RULES:
        if isinstance(one, kinds):
            yield from rule(one, migration, state, made)


def _taking_away(one: Any, migration: Migration, _state: ProjectState, _made: Any) -> Iterator[str]:
    if not _has_marker(migration):
        yield f"{one.describe()}: the previous release still uses it"


def _has_marker(migration: Migration) -> bool:
    """The second step says which release no longer used what goes: the one that runs now."""
    return bool(getattr(migration, "unused_since", None) == PREVIOUS["commit"])


def _adding(
    one: ops.AddField, migration: Migration, state: ProjectState, made: Any
) -> Iterator[str]:
    if one.model_name_lower in made:
        return
    field: Any = one.field
    where = f"{one.model_name}.{one.name}"
    if not (field.null or field.many_to_many or _has_database_default(field)):
        yield f"{where}: neither null nor db_default, so that the previous release cannot insert"
    if _rewrites(field):
        yield f"{where}: the default differs by row, so that the table is written anew"
    if _is_big(one.model_name_lower, migration, state) and _is_indexed(field):
        yield f"{where}: its index locks a big table; add it concurrently, in the next migration"
    if (
        (field.many_to_one or field.one_to_one)
        and field.db_constraint
        and _is_big(one.model_name_lower, migration, state)
    ):
        yield f"{where}: its foreign key is checked under a lock; use db_constraint=False"


def _has_database_default(field: Any) -> bool:
    return field.db_default is not NOT_PROVIDED or getattr(field, "generated", False)


def _rewrites(field: Any) -> bool:
    default = field.db_default
    return isinstance(default, Expression) and not isinstance(default, (Value, Now))


def _is_indexed(field: Any) -> bool:
    return bool(field.unique or field.db_index)


def _is_big(model: str, migration: Migration, state: ProjectState) -> bool:
    options = state.models[migration.app_label, model].options
    return str(options.get("db_table", f"{migration.app_label}_{model}")) in BIG


def _altering(
    one: ops.AlterField, migration: Migration, state: ProjectState, made: Any
) -> Iterator[str]:
    old = state.models[migration.app_label, one.model_name_lower].get_field(one.name)
    where = f"{one.model_name}.{one.name}"
    if one.model_name_lower in made or _has_marker(migration):
        return
    if old.null and not one.field.null:
        yield f"{where}: NOT NULL scans a locked table, and the previous release writes NULL"
    if not _holds_more(old, one.field):
        yield f"{where}: the type changes, so that the table is written anew"
    if (
        _is_indexed(one.field)
        and not _is_indexed(old)
        and _is_big(one.model_name_lower, migration, state)
    ):
        yield f"{where}: its index locks a big table; add it concurrently"


def _holds_more(old: Any, new: Any) -> bool:
    """The same type, or a text that may be longer."""
    was, becomes = _type(old), _type(new)
    if was == becomes or (was.startswith("varchar") and becomes == "text"):
        return True
    lengths = [re.fullmatch(r"varchar\((\d+)\)", each) for each in (was, becomes)]
    return all(lengths) and int(lengths[0][1]) <= int(lengths[1][1])


def _type(field: Any) -> str:
    return "relation" if field.is_relation else str(field.db_type(connection))


def _indexing(one: Any, migration: Migration, state: ProjectState, made: set[str]) -> Iterator[str]:
    if isinstance(one, AddIndexConcurrently) or one.model_name_lower in made:
        return
    if _is_big(one.model_name_lower, migration, state):
        yield f"{one.describe()}: locks a big table; use AddIndexConcurrently"


def _constraining(
    one: ops.AddConstraint, migration: Migration, state: ProjectState, made: set[str]
) -> Iterator[str]:
    if isinstance(one, AddConstraintNotValid) or one.model_name_lower in made:
        return
    if _is_big(one.model_name_lower, migration, state):
        yield f"{one.describe()}: locks a big table; use AddConstraintNotValid, then validate"


def _speaking_sql(
    one: ops.RunSQL, migration: Migration, _state: ProjectState, _made: Any
) -> Iterator[str]:
    text = str(one.sql)
    if (found := _SQL_THAT_TAKES_AWAY.search(text)) and not _has_marker(migration):
        yield f"{found[0]}: the previous release still uses it"
    if found := _SQL_THAT_LOCKS.search(text):
        yield f"{found[0].strip()}: locks a table while it works"


def _moving_data(
    one: ops.RunPython, migration: Migration, _state: ProjectState, _made: Any
) -> Iterator[str]:
    if one.reverse_code is None:
        yield "moves data with no way back; RunPython.noop says that none is needed"


_Rule = Callable[[Any, Migration, ProjectState, set[str]], Iterable[str]]
_RULES: Final[tuple[tuple[Any, _Rule], ...]] = (
    (_TAKES_AWAY, _taking_away),
    (ops.AddField, _adding),
    (ops.AlterField, _altering),
    (ops.AddIndex, _indexing),
    (ops.AddConstraint, _constraining),
    (ops.RunSQL, _speaking_sql),
    (ops.RunPython, _moving_data),
)
