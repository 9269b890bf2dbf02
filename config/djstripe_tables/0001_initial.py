"""Creates dj-stripe's tables straight from its models.

`MIGRATION_MODULES = {"djstripe": None}` is not enough: dj-stripe points at `orgs.Organization`,
whose table must exist first. Production never uses this module; one test migrates for real and compares.
"""

from typing import Any

from django.apps import apps as real_apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState


def _models() -> list[Any]:
    return [
        model
        for model in real_apps.get_app_config("djstripe").get_models()
        if model._meta.managed and not model._meta.proxy
    ]


class CreateDjstripeTables(Operation):
    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        for model in _models():
            state.add_model(ModelState.from_model(model))

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        for model in _models():
            schema_editor.create_model(model)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        for model in reversed(_models()):
            schema_editor.delete_model(model)

    def describe(self) -> str:
        return "Create dj-stripe's tables from its models"


class Migration(migrations.Migration):
    initial = True
    dependencies = [("orgs", "0001_initial")]
    operations = [CreateDjstripeTables()]
