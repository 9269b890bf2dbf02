"""PostgreSQL as Django speaks to it, but for migrations, which never make decisions queue."""

from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.schema import DatabaseSchemaEditor

# A statement that waits for a table's lock stops everybody who comes after it. After this long it
# gives up, its migration rolls back, and the release is run again.
LOCK_TIMEOUT = "4s"


class PatientSchemaEditor(DatabaseSchemaEditor):
    """Migrations that are not atomic build concurrently: what they wait for holds up nobody."""

    def __enter__(self) -> "PatientSchemaEditor":
        super().__enter__()
        if self.atomic_migration and not self.collect_sql:
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        return self


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass: Any = PatientSchemaEditor
