"""Django's lists and forms in the admin, as light as they can be with very many rows."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR
from django.db import models
from django.http import HttpRequest, HttpResponse

_CHOICES_SHOWN = 25  # in a filter; what is not among them is searched for
_FOLDER = "admin/js/"
# For slugs that fill themselves in while somebody types: more than half of Django's scripts.
_FOR_SLUGS = ("urlify.js", "prepopulate.js", "vendor/xregexp/")
_OF_LISTS = ("core.js", "actions.js")


class FewValues(admin.AllValuesFieldListFilter):
    """The first values that the rows have, where Django lists them all."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lookup_choices = self.lookup_choices[:_CHOICES_SHOWN]


class FewRelated(admin.RelatedFieldListFilter):
    """The first of the other rows, where Django reads and lists them all."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        ordering = self.field_admin_ordering(field, request, model_admin) or ("pk",)
        others = field.remote_field.model._default_manager  # noqa: SLF001  Django's word for it
        return [(row.pk, str(row)) for row in others.order_by(*ordering)[:_CHOICES_SHOWN]]


def _is_free(field: Any) -> bool:
    """Whether any value may stand in it."""
    of_few = isinstance(field, models.BooleanField | models.DateField)
    return not (field.choices or field.remote_field or of_few)


admin.FieldListFilter.register(lambda field: field.remote_field, FewRelated, take_priority=True)
admin.FieldListFilter.register(_is_free, FewValues, take_priority=True)


class LightPages(admin.ModelAdmin):  # type: ignore[type-arg]
    list_per_page = 25

    @property
    def media(self) -> forms.Media:
        """Django's own list, less those; a form that names more keeps it."""
        named = super().media._js  # type: ignore[attr-defined]  # noqa: SLF001  it has no other name
        return forms.Media(js=[path for path in named if not _is_for_slugs(path)])

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A list in a window of its own answers the form that opened it, by the forms' scripts."""
        if IS_POPUP_VAR not in request.GET:
            scripts = forms.Media(js=[_FOLDER + name for name in _OF_LISTS])
            extra_context = {"media": scripts, **(extra_context or {})}
        return super().changelist_view(request, extra_context)


def light(admin_class: Any) -> Any:
    """The same, whoever wrote it."""
    found = admin_class or admin.ModelAdmin
    return type(found.__name__, (LightPages, found), {"__module__": found.__module__})


def _is_for_slugs(path: str) -> bool:
    return path.removeprefix(_FOLDER).startswith(_FOR_SLUGS)
