"""The previous release's code goes on working while and after the database is migrated (H1)."""

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import connection, models
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.functions import Now

from config.postgresql.base import LOCK_TIMEOUT
from tests.architecture import migration_rules
from tests.architecture.migration_rules import BIG, PREVIOUS

OURS = ("orgs", "billing", "quotas")
INDEX = models.Index(fields=["note"], name="by_note")
RANDOM = models.Func(function="random")
CHECK = models.CheckConstraint(condition=models.Q(note__gt=""), name="has_note")


def test_every_migration_since_the_previous_release_keeps_its_code_working():
    loader = MigrationLoader(None, ignore_no_migrations=True)

    broken = [
        said
        for (app, name), migration in loader.disk_migrations.items()
        if app in OURS and migration_rules.is_new(migration, loader.graph)
        for said in migration_rules.broken(
            migration, loader.project_state((app, name), at_end=False)
        )
    ]

    assert broken == []


@pytest.mark.django_db
def test_the_big_tables_are_tables():
    assert BIG - set(connection.introspection.table_names()) == set()


def judged(*operations, atomic=True, unused_since=None):
    """The rules that a migration breaks on a big table and a small one."""
    fields: dict[str, models.Field] = {
        "id": models.BigAutoField(primary_key=True),
        "note": models.CharField(max_length=9),
    }
    state = ProjectState()
    state.add_model(ModelState("quotas", "Big", fields, {"db_table": "plan_usage"}))
    state.add_model(ModelState("quotas", "Small", fields, {"db_table": "notice_endpoint"}))
    written = {"operations": operations, "atomic": atomic, "unused_since": unused_since}
    sample = type("Sample", (Migration,), written)("0099_sample", "quotas")
    return migration_rules.broken(sample, state)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (ops.RemoveField("small", "note"), "still uses it"),
        (ops.RenameField("small", "note", "remark"), "still uses it"),
        (ops.DeleteModel("Small"), "still uses it"),
        (ops.RunSQL("ALTER TABLE notice_endpoint DROP COLUMN note"), "still uses it"),
        (ops.RunSQL("DROP FUNCTION apply_usage"), "still uses it"),
        (ops.AddField("small", "n", models.IntegerField(default=0)), "cannot insert"),
        (ops.AddField("small", "n", models.FloatField(db_default=RANDOM)), "written anew"),
        (ops.AddField("big", "n", models.IntegerField(null=True, db_index=True)), "concurrently"),
        (ops.AlterField("small", "note", models.IntegerField()), "written anew"),
        (ops.AlterField("small", "note", models.CharField(max_length=5)), "written anew"),
        (ops.AddIndex("big", INDEX), "AddIndexConcurrently"),
        (ops.AddConstraint("big", CHECK), "AddConstraintNotValid"),
        (AddIndexConcurrently("big", INDEX), "not atomic"),
        (ops.RunSQL("CREATE INDEX by_note ON plan_usage (note)"), "locks a table"),
        (ops.RunPython(lambda apps, editor: None), "no way back"),
    ],
)
def test_what_would_stop_the_previous_release_is_refused(operation, said):
    assert any(said in sentence for sentence in judged(operation))


@pytest.mark.parametrize(
    "operation",
    [
        ops.AddField("big", "n", models.IntegerField(null=True)),
        ops.AddField("big", "n", models.IntegerField(db_default=0)),
        ops.AddField("big", "at", models.DateTimeField(db_default=Now())),
        ops.AlterField("big", "note", models.CharField(max_length=99)),
        ops.AlterField("big", "note", models.TextField()),
        ops.AddIndex("small", INDEX),
        AddConstraintNotValid("big", CHECK),
        ops.SeparateDatabaseAndState(state_operations=[ops.RemoveField("small", "note")]),
        ops.RunSQL("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        ops.RunPython(lambda apps, editor: None, ops.RunPython.noop),
    ],
)
def test_what_the_previous_release_does_not_notice_is_allowed(operation):
    assert judged(operation) == []


def test_a_column_may_go_once_the_running_release_no_longer_uses_it():
    gone = ops.RemoveField("small", "note")

    assert judged(gone, unused_since="an older commit") != []
    assert judged(gone, unused_since=PREVIOUS["commit"]) == []
    assert judged(AddIndexConcurrently("big", INDEX), atomic=False) == []


@pytest.mark.django_db
def test_a_migration_that_waits_for_a_lock_gives_up_before_decisions_queue():
    with connection.schema_editor(atomic=True), connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        inside = cursor.fetchone()

    assert inside == (LOCK_TIMEOUT,)
